-- How often did each rule fire, and what would be kept (or left to deduplication) without it?
with
    fired as (
        select
            hit."filter" as step,
            hit.reason as reason,
            count(*) as fired,
            count(*) filter (first) as first_reason,
            count(*) filter (alone) as only_reason
        from (
            select
                unnest(hits) as hit,
                generate_subscripts(hits, 1) = 1 and stage = 'filter' as first,
                len(hits) = 1 and stage = 'filter' as alone
            from ledger
        )
        group by all
    )
select
    rules.step,
    rules.reason,
    rules.signal || ' ' || rules.operator || ' ' || rules.threshold as fires_when,
    coalesce(fired, 0) as fired,
    coalesce(first_reason, 0) as first_reason,
    coalesce(only_reason, 0) as only_reason
from rules
left join fired using (step, reason)
order by rules.position
