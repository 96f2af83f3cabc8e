"""Plain sentences in other languages, made from lists: to plant text that does not belong, without fetching any.

Three agreeing columns per language: who did, what, and when or where. Our own lists, so there is no licence to mind;
1,000 different sentences each. Limits: the grammar of a phrase book, so easier to notice than real foreign pages.
"""

from eval.chance import Chance

_COLUMNS = {
    "de": (
        """Der Bürgermeister|Die Lehrerin|Ein alter Fischer|Unsere Nachbarin|Der junge Arzt|Die Regierung|Das Museum
        Eine Gruppe von Schülern|Der Verein|Meine Großmutter""",
        """hat die neue Brücke eröffnet|wollte den Bericht noch einmal lesen|sprach lange über das Wetter
        verkaufte frisches Brot und Käse|suchte nach einem besseren Weg|musste die Sitzung verschieben
        erzählte eine Geschichte aus der Kindheit|zeigte den Gästen die Bibliothek|hatte keine Zeit für Fragen
        schrieb einen ausführlichen Brief""",
        """am frühen Morgen|in der kleinen Stadt am Fluss|trotz des starken Regens|während der Sommerferien
        ohne ein Wort zu sagen|vor vielen Jahren|gemeinsam mit Freunden|nach der großen Versammlung
        im alten Rathaus|wie es seit langem üblich ist""",
    ),
    "fr": (
        """Le maire|La directrice|Un vieux pêcheur|Notre voisine|Le jeune médecin|Le gouvernement|Le musée
        Un groupe d'élèves|L'association|Ma grand-mère""",
        """a ouvert le nouveau pont|voulait relire le rapport|a longtemps parlé du temps qu'il fait
        vendait du pain frais et du fromage|cherchait une meilleure solution|a dû reporter la réunion
        a raconté une histoire de son enfance|montrait la bibliothèque aux visiteurs|n'avait pas le temps de répondre
        a écrit une très longue lettre""",
        """tôt le matin|dans la petite ville au bord du fleuve|malgré la pluie|pendant les vacances d'été
        sans dire un mot|il y a bien des années|avec quelques amis|après la grande assemblée
        dans l'ancienne mairie|comme le veut la coutume""",
    ),
    "es": (
        """El alcalde|La maestra|Un viejo pescador|Nuestra vecina|El joven médico|El gobierno|El museo
        Un grupo de alumnos|La asociación|Mi abuela""",
        """abrió el puente nuevo|quería leer otra vez el informe|habló mucho tiempo del clima
        vendía pan fresco y queso|buscaba un camino mejor|tuvo que aplazar la reunión
        contó una historia de su niñez|mostró la biblioteca a los visitantes|no tenía tiempo para preguntas
        escribió una carta muy larga""",
        """por la mañana temprano|en el pequeño pueblo junto al río|a pesar de la lluvia|durante las vacaciones
        sin decir una palabra|hace muchos años|con algunos amigos|después de la gran asamblea
        en el antiguo ayuntamiento|como manda la costumbre""",
    ),
    "id": (
        """Walikota|Guru itu|Seorang nelayan tua|Tetangga kami|Dokter muda itu|Pemerintah|Museum itu
        Sekelompok murid|Perkumpulan itu|Nenek saya""",
        """membuka jembatan yang baru|ingin membaca laporan itu sekali lagi|berbicara lama tentang cuaca
        menjual roti segar dan keju|mencari jalan yang lebih baik|harus menunda pertemuan itu
        bercerita tentang masa kecilnya|memperlihatkan perpustakaan kepada para tamu|tidak punya waktu untuk bertanya
        menulis surat yang sangat panjang""",
        """pada pagi hari|di kota kecil di tepi sungai|meskipun hujan deras|selama liburan panjang
        tanpa berkata sepatah pun|bertahun-tahun yang lalu|bersama beberapa teman|setelah rapat besar itu
        di balai kota yang lama|seperti kebiasaan sejak dahulu""",
    ),
}
LANGUAGES = tuple(_COLUMNS)
_LISTS = {
    language: [
        [" ".join(part.split()) for line in column.splitlines() for part in line.split("|")] for column in columns
    ]
    for language, columns in _COLUMNS.items()
}
_CYRILLIC = str.maketrans("abvgdezijklmnoprstufhcyqwx", "абвгдезийклмнопрстуфхцыквх")


def sentence(language: str, chance: Chance) -> str:
    """One sentence of a language in LANGUAGES."""
    return " ".join(chance.pick(column) for column in _LISTS[language]) + "."


def passage(language: str, characters: int, chance: Chance) -> list[str]:
    """Sentences up to about so many characters."""
    said: list[str] = []
    length = 0
    while length < characters:
        said.append(sentence(language, chance))
        length += len(said[-1]) + 1
    return said


def transliterated(text: str) -> str:
    """Latin letters as Cyrillic ones that sound alike: a text that is right in no language."""
    return text.lower().translate(_CYRILLIC)
