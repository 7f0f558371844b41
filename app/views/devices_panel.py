from app.views.overlay import Card
class DevicesPanel(Card):
    def __init__(self, inputs, save):
        super().__init__()
    def refresh(self): ...
