-- What do kept and rejected documents look like?
with
    -- ids are hashes: the lowest are a random choice, and the same in every report
    picked as (
        select id, kept, step, reason
        from (select distinct id, kept, step, reason from fates)
        qualify row_number() over (partition by kept, step, reason order by id) <= (select examples from limits)
    ),
    texts as (
        select id, true as kept, null as step, null as reason, source, url, title, lang, left(text, 700) as excerpt,
            null as told
        from docs
        where id in (select id from picked where kept)
        union all
        select id, false, case stage when 'filter' then hits[1]."filter" else stage end, reason, source, url, title,
            lang, left(text, 700),
            coalesce(
                detail,
                'like ' || kept_id || coalesce(', similarity ' || round(evidence.jaccard, 3), ''),
                list_aggregate([h.reason || ': ' || h.signal || ' ' || h.value || ' ' || h.operator || ' ' || h.threshold for h in hits], 'string_agg', '; ')
            )
        from ledger
        where id in (select id from picked where not kept)
    )
select
    texts.kept,
    texts.step,
    texts.reason,
    texts.id,
    min(source) as source,
    min(url) as url,
    min(title) as title,
    min(lang) as language,
    min(excerpt) as excerpt,
    min(told) as told
from texts
join picked
    on texts.id = picked.id
    and texts.kept = picked.kept
    and texts.step is not distinct from picked.step
    and texts.reason is not distinct from picked.reason
left join steps on steps.step = texts.step
group by texts.kept, texts.step, texts.reason, texts.id, steps.position
order by texts.kept desc, steps.position, texts.reason, texts.id
