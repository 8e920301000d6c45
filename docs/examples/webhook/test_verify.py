"""python3 -B -m unittest, in this folder."""

import json
import pathlib
import unittest

from verify import WebhookError, verify

CASES = json.loads(pathlib.Path(__file__).with_name("vectors.json").read_bytes())["cases"]


class VerifyTest(unittest.TestCase):
    def test_vectors(self):
        for case in CASES:
            with self.subTest(case["name"]):
                args = case["secrets"], case["headers"], case["body"].encode(), case["now"]
                if case["valid"]:
                    self.assertEqual(verify(*args), json.loads(case["body"]))
                else:
                    self.assertRaises(WebhookError, verify, *args)

    def test_clock_and_case_of_names(self):
        case = next(c for c in CASES if c["valid"])
        headers = {name.title(): value for name, value in case["headers"].items()}
        self.assertEqual(verify(case["secrets"], headers, case["body"].encode(), case["now"])["type"], "event")
        with self.assertRaisesRegex(WebhookError, "too old"):
            verify(case["secrets"], headers, case["body"].encode())


if __name__ == "__main__":
    unittest.main()
