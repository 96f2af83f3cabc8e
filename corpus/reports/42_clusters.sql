-- Which documents have most copies?
with clusters as (
    select
        kept_id,
        count(*) as copies,
        string_agg(distinct kind, ', ' order by kind) as kinds,
        min(jaccard) as lowest_similarity
    from duplicates
    group by kept_id
    order by copies desc, kept_id
    limit 15
)
select left(kept_id, 12) as kept_id, copies, kinds, lowest_similarity, min(coalesce(docs.url, docs.title)) as url
from clusters
left join docs on docs.id = clusters.kept_id
group by all
order by copies desc, kept_id
