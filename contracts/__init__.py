"""Vocabulary that core, store, worker and API share. It imports nothing of ours and no numerical library."""
