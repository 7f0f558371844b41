from app.views.page import LayoutPage
from app.actions import ACTIONS
class TrainPage(LayoutPage):
    def __init__(self, run, facts, *, send, say):
        super().__init__()
        self.handlers = {a: (lambda: None) for a in ACTIONS if a.startswith("train.")}
