-- Whether another stream continues from this one.
SELECT EXISTS (
    SELECT FROM incarnations i JOIN incarnations b ON b.id = i.base WHERE b.stream = $1 AND i.stream <> $1
)
