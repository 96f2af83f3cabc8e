-- What costs the ten commonest languages most?
select
    coalesce(lang, 'not known') as language,
    step || '.' || reason as reason,
    count(*) as documents,
    count(*) / any_value(total) as share
from fates
join (select lang as spoken, count(*) as total from fates group by lang) on lang is not distinct from spoken
where not kept
group by lang, step, reason
qualify row_number() over (partition by lang order by documents desc, step, reason) <= 3
    and dense_rank() over (order by any_value(total) desc, language) <= 10
order by any_value(total) desc, language, documents desc, step, reason
