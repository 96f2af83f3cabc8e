-- Which domains does the corpus come from?
select
    domain,
    count(*) filter (kept) as kept,
    count(*) as documents_read,
    count(*) filter (kept) / count(*) as share_kept,
    coalesce(sum(words) filter (kept), 0)::bigint as words_kept
from fates
where domain is not null
group by domain
having kept > 0
order by kept desc, words_kept desc, domain
limit 15
