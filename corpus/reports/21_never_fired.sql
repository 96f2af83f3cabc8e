-- Which rules never fired?
select step, reason, signal || ' ' || operator || ' ' || threshold as fires_when
from rules
where not exists (
    from (select unnest(hits) as hit from ledger) where hit."filter" = rules.step and hit.reason = rules.reason
)
order by position
