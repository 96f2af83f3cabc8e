-- How many documents and words go into each step, and how many come out?
with
    gone as (
        select step, count(*) as documents, coalesce(sum(words), 0) as words
        from fates
        where not kept
        group by step
    ),
    read as (select count(*) as documents, coalesce(sum(words), 0) as words from fates),
    passed as (
        select
            steps.position,
            steps.step,
            coalesce(gone.documents, 0) as rejected,
            coalesce(gone.words, 0) as words_rejected,
            sum(coalesce(gone.documents, 0)) over (order by steps.position) as documents_gone,
            sum(coalesce(gone.words, 0)) over (order by steps.position) as words_gone
        from steps
        left join gone using (step)
    )
select
    step,
    (read.documents - documents_gone + rejected)::bigint as documents_in,
    rejected::bigint as rejected,
    (read.documents - documents_gone)::bigint as documents_out,
    rejected / nullif(read.documents - documents_gone + rejected, 0) as share_rejected,
    (read.words - words_gone + words_rejected)::bigint as words_in,
    (read.words - words_gone)::bigint as words_out
from passed, read
order by position
