-- Is every document that was read kept once or in the ledger once, by id and input file?
with
    read as (select file, id, count(*) as times from signals group by all),
    told as (
        select file, id, count(*) as times, count(*) filter (kept) as kept
        from fates
        group by all
    )
select
    coalesce(read.file, told.file) as file,
    coalesce(sum(read.times), 0)::bigint as documents_read,
    coalesce(sum(told.kept), 0)::bigint as kept,
    coalesce(sum(told.times - told.kept), 0)::bigint as in_ledger,
    count(*) filter (read.times is distinct from told.times) as ids_that_differ
from read
full join told on read.id = told.id and read.file = told.file
group by coalesce(read.file, told.file)
order by ids_that_differ desc, file
