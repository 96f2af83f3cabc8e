-- How are the signals of each rule spread, and where do the thresholds lie?
with
    spread as (
        select step, signal, points[1] as lowest, points[2] as middle, points[3] as highest
        from (
            select step, signal, quantile_cont(value, [0.005, 0.5, 0.995]) as points
            from sampled_values
            group by step, signal
        )
    ),
    -- long tails are drawn on a logarithmic scale
    scales as (
        select *, lowest >= 0 and highest > 20 and highest > 8 * greatest(middle, 1) as logarithmic
        from spread
    ),
    ranges as materialized (
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
    ),
    counted as (
        select step, signal, coalesce(bin, 0) as bin, count(*) filter (kept) as kept, count(*) filter (not kept) as rejected
        from placed
        group by step, signal, coalesce(bin, 0)
    )
select step, signal, logarithmic, first_x, last_x, bin, kept, rejected
from counted
join ranges using (step, signal)
order by step, signal, bin
