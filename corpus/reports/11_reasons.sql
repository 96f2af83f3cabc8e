-- For which first reason was what rejected?
select
    step,
    reason,
    count(*) as documents,
    coalesce(sum(words), 0)::bigint as words,
    count(*) / (select count(*) from fates) as share_of_read
from fates
left join steps using (step)
where not kept
group by step, reason, steps.position
order by steps.position, documents desc, reason
