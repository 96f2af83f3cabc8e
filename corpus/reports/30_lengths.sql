-- How long are kept and rejected documents?
with
    bounds as (
        select unnest([0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 1000000]) as words_from
    ),
    counted as (
        select bounds.words_from, fates.kept
        from (select words::bigint as words, kept from fates where words is not null) fates
        asof join bounds on fates.words >= bounds.words_from
    )
select words_from, count(*) filter (kept) as kept, count(*) filter (not kept) as rejected
from counted
group by words_from
order by words_from
