-- What costs each source most?
select
    source,
    step || '.' || reason as reason,
    count(*) as documents,
    coalesce(sum(words), 0)::bigint as words,
    count(*) / any_value(total) as share
from fates
join (select source, count(*) as total from fates group by source) using (source)
where not kept
group by source, step, reason
qualify row_number() over (partition by source order by documents desc, step, reason) <= 5
order by source, documents desc, step, reason
