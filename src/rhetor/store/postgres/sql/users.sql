-- The connections of hubs to this database.
SELECT string_agg(DISTINCT application_name, ', ')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'rhetor %'
