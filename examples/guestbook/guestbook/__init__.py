"""A guestbook: a page, a store behind it, and a worker that greets."""
