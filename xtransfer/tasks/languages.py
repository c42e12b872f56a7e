"""The languages of XTREME and XTREME-R: two-letter code, ISO 639-3 code and English name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language of the benchmarks."""

    code: str
    """Two letters (ISO 639-1), as XTREME names its files."""
    iso3: str
    """ISO 639-3. Of a macrolanguage with several codes, the one that the Tatoeba files of LASER use:
    cmn for Chinese, est for Estonian, pes for Persian, swh for Swahili, zsm for Malay."""
    name: str
    """English name."""


# code, ISO 639-3, name. Every language of XTREME and XTREME-R; codes were checked against the file
# names of LASER's Tatoeba v1, which has no files for gu ht my pa qu wo yo.
_TABLE = """
af afr Afrikaans
ar ara Arabic
az aze Azerbaijani
bg bul Bulgarian
bn ben Bengali
de deu German
el ell Greek
en eng English
es spa Spanish
et est Estonian
eu eus Basque
fa pes Persian
fi fin Finnish
fr fra French
gu guj Gujarati
he heb Hebrew
hi hin Hindi
ht hat Haitian Creole
hu hun Hungarian
id ind Indonesian
it ita Italian
ja jpn Japanese
jv jav Javanese
ka kat Georgian
kk kaz Kazakh
ko kor Korean
lt lit Lithuanian
ml mal Malayalam
mr mar Marathi
ms zsm Malay
my mya Burmese
nl nld Dutch
pa pan Punjabi
pl pol Polish
pt por Portuguese
qu que Quechua
ro ron Romanian
ru rus Russian
sw swh Swahili
ta tam Tamil
te tel Telugu
th tha Thai
tl tgl Tagalog
tr tur Turkish
uk ukr Ukrainian
ur urd Urdu
vi vie Vietnamese
wo wol Wolof
yo yor Yoruba
zh cmn Chinese
"""


def _parse(table: str) -> dict[str, Language]:
    languages: dict[str, Language] = {}
    for line in table.strip().splitlines():
        code, iso3, name = line.split(maxsplit=2)
        languages[code] = Language(code=code, iso3=iso3, name=name)
    return languages


LANGUAGES: Mapping[str, Language] = _parse(_TABLE)


def iso3(code: str) -> str:
    """Return the ISO 639-3 code of a two-letter code; a code that is not in the table is its own.

    The artificial languages of the demo have private codes, and a user may bring a language of which
    this table knows nothing: their files are then named by the code that the experiment gives.
    """
    language = LANGUAGES.get(code)
    return language.iso3 if language else code


def put_language(template: str, code: str) -> str:
    """Put a language's codes and names into a template, in the place of `PLACEHOLDERS`."""
    for placeholder, word in PLACEHOLDERS.items():
        template = template.replace(placeholder, word(code))
    return template


def names_language(template: str) -> bool:
    """Say whether a template is another one for each language."""
    return any(placeholder in template for placeholder in PLACEHOLDERS)


def is_language(template: str) -> bool:
    """Say whether a template is a language's code or name and nothing else."""
    return template in PLACEHOLDERS


def is_row_of(row: Mapping[str, object], choice: Mapping[str, str], code: str) -> bool:
    """Say whether a row of a table that has all languages is one of this language.

    Args:
        row: column -> value.
        choice: column -> what its text is, where that is a code or name alone (`{lang}`), or else how it begins, as
            TyDiQA's ids do (`{language}-`). What begins with a code or name does not go on with a letter: "fil"
            is not "fi".
        code: of the language.
    """
    return all(_is_of(str(row[column]), template, code) for column, template in choice.items())


def language_name(code: str) -> str:
    """Return the English name of a two-letter code, or the code itself where it is not known."""
    language = LANGUAGES.get(code)
    return language.name if language else code


PLACEHOLDERS: Mapping[str, Callable[[str], str]] = {
    "{lang}": str,
    "{lang3}": iso3,
    "{language}": lambda code: language_name(code).lower(),
    "{Language}": language_name,
}
"""What stands for a language in the names of files and hub data sets -> what is put there for its code."""


def _is_of(text: str, template: str, code: str) -> bool:
    wanted = put_language(template, code)
    if is_language(template):
        return text == wanted
    goes_on = template.endswith(tuple(PLACEHOLDERS)) and text[len(wanted) :][:1].isalpha()
    return text.startswith(wanted) and not goes_on
