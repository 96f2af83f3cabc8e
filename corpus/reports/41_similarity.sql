-- How alike are near-duplicates and what was kept of them?
select least(floor(jaccard * 20 + 1e-9) / 20, 0.95) as similarity_from, count(*) as pairs
from duplicates
where kind = 'near'
group by similarity_from
order by similarity_from
