-- The histories of the database, the newest last. A restore to an earlier state begins another one.
SELECT value FROM meta WHERE key LIKE 'history %' ORDER BY key
