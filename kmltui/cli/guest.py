"""placeholder"""
from cyclopts import App
app = App(name="guest", help="The guest image and programs in it.")
