-- The first of 256 versions of rows.
SELECT nextval('row_versions')
