-- What is left of each source?
select
    source,
    count(*) as documents_read,
    count(*) filter (kept) as kept,
    count(*) filter (kept) / count(*) as share_kept,
    coalesce(sum(words), 0)::bigint as words_read,
    coalesce(sum(words) filter (kept), 0)::bigint as words_kept
from fates
group by source
order by documents_read desc, source
