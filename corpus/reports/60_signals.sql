-- How are the signals of each rule spread, and where do the thresholds lie?
with
    spread as (
        select
            step,
            signal,
            quantile_cont(value, 0.005) as lowest,
            quantile_cont(value, 0.5) as middle,
            quantile_cont(value, 0.995) as highest
        from signal_values
        group by step, signal
    ),
    -- long tails are drawn on a logarithmic scale
    scales as (
        select *, lowest >= 0 and highest > 20 and highest > 8 * greatest(middle, 1) as logarithmic
        from spread
    ),
    ranges as (
        select
            *,
            case when logarithmic then ln(1 + lowest) else lowest end as first_x,
            case when logarithmic then ln(1 + highest) else highest end as last_x
        from scales
    ),
    placed as (
        select
            step,
            signal,
            kept,
            least(greatest(floor(
                30 * (case when logarithmic then ln(1 + greatest(value, 0)) else value end - first_x)
                / nullif(last_x - first_x, 0)
            ), 0), 29)::int as bin
        from signal_values
        join ranges using (step, signal)
    )
select
    step,
    signal,
    any_value(logarithmic) as logarithmic,
    any_value(first_x) as first_x,
    any_value(last_x) as last_x,
    coalesce(bin, 0) as bin,
    count(*) filter (kept) as kept,
    count(*) filter (not kept) as rejected
from placed
join ranges using (step, signal)
group by step, signal, coalesce(bin, 0)
order by step, signal, bin
