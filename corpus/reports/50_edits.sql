-- What was cut or replaced inside documents?
select
    step,
    rule,
    count(*) as edits,
    count(distinct id) as documents,
    coalesce(sum(length(removed)), 0)::bigint as characters_removed,
    first(left(removed, 60) order by id, start) as for_example
from edits
group by step, rule
order by characters_removed desc, step, rule
