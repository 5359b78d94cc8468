"""Files from elsewhere: downloads, git repositories, contexts that are no directory here."""
