"""What planted pages say: menus, notices, pitches and insults as templates with gaps. Our own words."""

import functools
import re
from pathlib import Path

import filters
from eval.chance import Chance, digest

BOILERPLATE = (
    "Home | {section} | {section} | About us | Contact | Login | Register",
    "You are here: Home > {section} > {section}",
    "We use cookies to improve your experience on {site}. By continuing to browse you agree to our Cookie Policy. "
    "Accept all | Reject all | Manage preferences",
    "This website uses cookies. Some are necessary, others help us and our {number} partners to measure traffic and to "
    "personalise {section}. You can change your settings at any time.",
    "Share this: Facebook Twitter Pinterest LinkedIn WhatsApp Email Print",
    "Subscribe to our newsletter! Enter your email address and never miss a post about {section}. Unsubscribe anytime.",
    "Related articles: {number} things about {section} | Why {section} matters | Read more »",
    "© {year} {site}. All rights reserved. Terms of Use | Privacy Policy | Do not sell my information | Sitemap",
    "By using this site you agree to these Terms. {site} may modify, suspend or discontinue any part of the service at "
    "any time without notice and shall not be liable for any damages arising out of its use.",
    "Skip to main content. Search {site} ... Toggle navigation. Menu",
    "Your browser does not support JavaScript. Please enable JavaScript to view the comments.",
    "Leave a Reply. Your email address will not be published. Required fields are marked *",
    "Posted in {section}, {section} | Tagged {section} | {number} Comments | Permalink",
    "Previous post: {section} in {year} | Next post: {section} and more",
    "Advertisement. Scroll to continue reading. Sponsored content by {site}",
    "Sign in to continue. Forgot your password? New here? Create an account. Sign in with Google | Apple",
    "Showing {number} of {number} results. Sort by: relevance | newest | price. Page 1 2 3 4 ... {number} Next",
    "Free shipping on orders over ${number}. Add to cart. Customers who bought this also bought {section}.",
)
PITCHES = (
    "Looking for the best {product} in {city}?",
    "Buy {product} online now from only ${number}!",
    "Our {product} has helped more than {number} customers in {city} since {year}.",
    "{name} from {city} says: this {product} changed my life in {number} days.",
    "Order today and save {number}% with the code {name}{number}.",
    "Click here to get your free {product} before the offer ends.",
    "No prescription, no credit check, 100% money back within {number} days.",
    "We ship {product} to {city} and everywhere else overnight.",
    "Doctors hate this simple trick that {name} found in {year}.",
    "Compare prices of {product} and win up to ${number} every week.",
    "Best {product} reviews {year}: top {number} list for {city}.",
    "Call {name} now and get {number} {product} for the price of one.",
    "Cheap {product}, discount {product}, {product} for sale, {product} {city}.",
    "Only {number} left in stock, hurry up and do not miss your chance!",
    "Trusted by {number} happy clients, rated {number} stars in {city}.",
    "Earn ${number} a day from home with our {product} program, says {name}.",
)
INSULTS = (
    "What kind of {offensive} writes a thing like that?",
    "Only a {offensive} would believe it.",
    "Shut up, you stupid {offensive}.",
    "They are all {offensive}, every one of them.",
    "Nobody asked you, {offensive}.",
    "This is {offensive} and whoever made it is {offensive}.",
    "Go away and take that {offensive} with you.",
)
_GAPS = {
    "section": """News Sports Culture Business Travel Recipes Gardening Technology Health Fashion Cars Jobs Weather
    Video Photos Opinion Forum Shop Downloads Events Education Science Music Games""".split(),
    "site": "DailyPlanetly InfoHubster GoodReadsy TheLocalPage WebWorldly ClickNest HomeAndMore FactStation".split(),
    "product": [
        "slimming tea",
        "phone case",
        "mattress",
        "casino bonus",
        "payday loan",
        "vitamin drops",
        "replica watch",
        "essay service",
        "hair serum",
        "trading course",
        "air fryer",
    ],
    "city": "London Chicago Toronto Sydney Dallas Dublin Leeds Denver Austin Perth Boston Miami".split(),
    "name": "Kevin Linda Brian Susan Jason Karen Tyler Megan Scott Tina Derek Paula".split(),
}
_GAP = re.compile(r"\{(\w+)\}")


@functools.cache
def offensive_words(held_apart: bool = False) -> list[str]:
    """Half of the shipped English list is planted; the other half is held apart for queries that look for it."""
    path = Path(filters.__file__).parent / "lexicons" / "offensive.en.txt"
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    words = [line for line in lines if line and not line.startswith("#")]
    return [word for word in words if (int(digest("half", word)[:8], 16) % 2 == 0) == held_apart]


def fill(template: str, chance: Chance) -> str:
    """A template with each gap filled anew."""

    def drawn(gap: re.Match[str]) -> str:
        if gap[1] == "number":
            return str(2 + chance.below(98))
        if gap[1] == "year":
            return str(2005 + chance.below(20))
        return chance.pick(offensive_words() if gap[1] == "offensive" else _GAPS[gap[1]])

    return _GAP.sub(drawn, template)
