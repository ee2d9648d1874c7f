"""Proof: what a dataset is worth, told by figures, a page and a card.

auditing.py   `audit`: dataset → audit.json, audit.md, pictures (its parts are listed there)
page.py       `report`: a run directory → one HTML page (its parts are listed there)
card.py       the dataset's README.md, with Hugging Face's head; licences.py: whose terms it inherits
gather.py     what a run directory tells of itself: the only source of page and card
tables.py     the audit's figures as lines and tables, for all of them
"""
