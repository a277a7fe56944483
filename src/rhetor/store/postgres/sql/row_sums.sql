SELECT kind, count(*), sum(version) FROM rows WHERE kind = ANY ($1) GROUP BY kind
