import os
import unittest
import urllib.error
import urllib.request

URL = os.environ["URL"]


class StoreTest(unittest.TestCase):
    def test_what_was_put_is_there(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{URL}/a", data=b"value", method="PUT")).close()
        with urllib.request.urlopen(f"{URL}/a") as answer:
            self.assertEqual(answer.read(), b"value")

    def test_what_was_not_put_is_not(self) -> None:
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{URL}/nothing")
        self.assertEqual(caught.exception.code, 404)
