-- Which kinds of duplicates were found?
select
    kind,
    count(*) as rejected,
    count(distinct kept_id) as documents_copied,
    avg(jaccard) as mean_similarity,
    min(jaccard) as lowest_similarity
from duplicates
group by kind
order by rejected desc, kind
