from app.views.page import LayoutPage
from app.actions import ACTIONS
class ReviewPage(LayoutPage):
    def __init__(self, run, facts, undo, *, say):
        super().__init__()
        self.handlers = {a: (lambda: None) for a in ACTIONS if a.startswith("review.")}
    def bin_last(self): ...
