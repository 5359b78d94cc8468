import tempfile
import unittest

from guestbook.store import Book
from guestbook.web import page
from guestbook.worker import greeting


class GuestbookTest(unittest.TestCase):
    def test_entries_are_kept_and_greeted(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            book = Book(file.name)
            number = book.add("Ada", "hello")
            book.greet(number, greeting(book.entries()[0]))
            self.assertEqual(book.entries(), [{"id": 1, "name": "Ada", "text": "hello", "greeting": "Welcome, Ada!"}])

    def test_page_escapes_what_guests_write(self) -> None:
        self.assertNotIn("<script>", page([{"name": "<script>", "text": "", "greeting": None}]))
