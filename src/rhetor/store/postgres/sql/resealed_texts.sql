UPDATE texts SET content = $2, sealed = true, words = NULL WHERE id = $1
