-- Which domains lost most, and to what?
with counted as (
    select domain, step || '.' || reason as reason, count(*) as documents
    from fates
    where domain is not null and not kept
    group by all
)
select
    domain,
    any_value(total.rejected) as rejected,
    any_value(total.rejected) / any_value(total.documents_read) as share_rejected,
    first(reason order by documents desc, reason) as commonest_reason
from counted
join (
    select domain, count(*) filter (not kept) as rejected, count(*) as documents_read from fates group by domain
) total using (domain)
group by domain
order by rejected desc, share_rejected desc, domain
limit 15
