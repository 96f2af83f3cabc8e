-- Which rules removed most of a source, a language or a domain?
with
    fired as (
        select hit."filter" as step, hit.reason as reason, source, lang, url
        from (select source, lang, url, unnest(hits) as hit from ledger)
        union all
        select stage, reason, source, lang, url from ledger where stage in ('extract', 'dedup')
    ),
    groups as (
        select
            step,
            reason,
            unnest([
                {'kind': 'source', 'name': source},
                {'kind': 'language', 'name': lang},
                {'kind': 'domain', 'name': domain_of(url)}
            ]) as of_what
        from fired
    ),
    removed as (
        select step, reason, of_what.kind as kind, of_what.name as name, count(*) as documents
        from groups
        group by all
    ),
    whole as (
        select of_what.kind as kind, of_what.name as name, count(*) as total
        from (
            select unnest([
                {'kind': 'source', 'name': source},
                {'kind': 'language', 'name': lang},
                {'kind': 'domain', 'name': domain}
            ]) as of_what
            from fates
        )
        group by all
    )
select step, reason, kind, name, documents as removed, total as documents_read, documents / total as share_removed
from removed
join whole using (kind, name)
cross join limits
left join rules using (step, reason)
where total >= limits.wipe_out_documents
    and documents > limits.wipe_out_share * total
    -- a language filter is meant to remove languages, a list of addresses to remove domains
    and rules.meant_for is distinct from kind
order by removed desc, share_removed desc, step, reason, kind, name
limit 100
