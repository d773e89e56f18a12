-- The ten busiest videos and when they were so, as a picture, busiest.svg: of a table `counts` (video_id, beat, comments),
-- where a beat is a second, a minute or an hour.
COPY (
    WITH busiest AS (
        SELECT video_id, sum(comments)::BIGINT AS comments, row_number() OVER (ORDER BY sum(comments) DESC, video_id) AS line
        FROM counts
        GROUP BY video_id
        ORDER BY line
        LIMIT 10
    ), beats AS (
        SELECT line, counts.comments, epoch(beat) AS since_s
        FROM counts JOIN busiest USING (video_id)
    ), scale AS (
        SELECT min(since_s) AS first_s, max(comments) AS most, min(step_s) AS step_s,
            520 / ((max(since_s) - min(since_s)) / min(step_s) + 1) AS width
        FROM (SELECT *, coalesce(since_s - lag(since_s) OVER (PARTITION BY line ORDER BY since_s), 3600) AS step_s FROM beats)
    ), bars AS (
        SELECT line, string_agg(format('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>',
            170 + (since_s - first_s) / step_s * width, 34 + line * 32 - comments / most * 26,
            greatest(width - 1, 1), comments / most * 26), '') AS drawn
        FROM beats, scale
        GROUP BY line
    )
    SELECT format('<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{}" font-family="sans-serif" font-size="13">',
            50 + count(*) * 32)
        || '<rect width="100%" height="100%" fill="white"/>'
        || format('<text x="10" y="24" font-size="15">The busiest videos, {} to {} UTC, and their comments</text>',
            (SELECT strftime(min(beat), '%Y-%m-%d %H:%M:%S') FROM counts), (SELECT strftime(max(beat), '%H:%M:%S') FROM counts))
        || string_agg(format('<text x="160" y="{}" text-anchor="end">{}</text><g fill="#2a78b5">{}</g>'
            '<line x1="170" x2="690" y1="{}" y2="{}" stroke="#ddd"/><text x="700" y="{}">{}</text>',
            34 + line * 32, video_id, drawn, 34 + line * 32, 34 + line * 32, 34 + line * 32, comments), '' ORDER BY line)
        || '</svg>'
    FROM busiest JOIN bars USING (line)
) TO 'busiest.svg' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '|');
