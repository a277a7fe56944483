SELECT kind, id, state, doc, owner, parent, name, at, version FROM rows WHERE kind = $1 AND id = $2
