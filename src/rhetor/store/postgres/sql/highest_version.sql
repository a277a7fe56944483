-- The highest version that a row may have had: a transaction takes 256 of them.
SELECT CASE WHEN is_called THEN last_value + 255 ELSE last_value - 1 END FROM row_versions
