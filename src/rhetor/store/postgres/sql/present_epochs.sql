SELECT id, epoch FROM incarnations WHERE present
