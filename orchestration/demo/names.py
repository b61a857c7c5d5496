"""The words of the four markets: common names, cities and streets, and their odd spellings.

Everything is a list of common words put together at random, so that no real person's data can
get in. Each name carries its spelling in Latin letters (for e-mail addresses), the other
spelling that keyboards of the market produce, and one typing error; they are worked out once
per word here and not once per person.
"""

import unicodedata
from dataclasses import dataclass

MARKETS = ("VN", "TW", "IR", "GB")
CURRENCIES = ("VND", "TWD", "IRR", "GBP")
CALLING_CODES = ("84", "886", "98", "44")
LOCALES = ("vi-VN", "zh-TW", "fa-IR", "en-GB")
JURISDICTIONS = ("PDPD-VN", "PDPA-TW", "IR", "GDPR")

# Prefixes that the numbering plan gives to mobiles, in so many digits that the rest of the
# number may be anything; kept to those that `phonenumbers` calls valid mobiles of the country.
_PREFIXES = (
    "32 33 34 35 36 37 38 39 70 76 77 78 79 81 82 83 84 85 86 88 90 91 93 94 96 97 98",
    " ".join(str(number) for number in range(910, 989) if number % 10 not in (0, 9)),
    "901 902 903 910 911 912 913 914 915 916 917 918 919 921 922 930 933 935 936 937",
    "7400 7407 7414 7421 7428 7435 7442 7449 7456 7463 7470 7477 7484 7491 7505 7512 7519 7526 "
    "7533 7540 7547 7554 7561 7568 7575 7582 7707 7714 7721 7728 7735 7742 7749 7756 7763 7770 "
    "7784 7805 7812 7819 7826 7833 7847 7854 7861 7868 7875 7882 7889 7903 7910 7917",
)
PHONE_PREFIXES = tuple(text.split() for text in _PREFIXES)
PHONE_REST_DIGITS = (7, 6, 7, 6)

_FAMILIES = (
    "Nguyễn Trần Lê Phạm Huỳnh Hoàng Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Mai Tô",
    "陳:chen 林:lin 黃:huang 張:chang 李:lee 王:wang 吳:wu 劉:liu 蔡:tsai 楊:yang 許:hsu 鄭:cheng "
    "謝:hsieh 郭:kuo 洪:hung 曾:tseng 邱:chiu 廖:liao 賴:lai 徐:hsu 周:chou 葉:yeh 蘇:su 江:chiang",
    "محمدی:mohammadi حسینی:hosseini احمدی:ahmadi کریمی:karimi رضایی:rezaei موسوی:mousavi "
    "جعفری:jafari رحیمی:rahimi صادقی:sadeghi ابراهیمی:ebrahimi کاظمی:kazemi اکبری:akbari "
    "قاسمی:ghasemi یوسفی:yousefi مرادی:moradi باقری:bagheri شریفی:sharifi نوری:nouri "
    "کاشانی:kashani تهرانی:tehrani",
    "Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Robinson Wright Thompson "
    "Evans Walker White Roberts Green Hall Wood Harris Clarke Jackson Turner Hill Cooper Ward "
    "Morris Moore O'Neill Baker Harrison Khan Campbell Mitchell Fraser MacLeod",
)
_WOMEN = (
    "Linh Hương Lan Mai Thảo Trang Ngọc Phương Hạnh Nhung Yến Thủy Quỳnh Hiền Châu Diễm Tuyết "
    "Bích_Ngọc Thị_Hoa Thị_Lan Thu_Hà Kim_Oanh Thanh_Thúy Mỹ_Linh",
    "怡君:yi-chun 雅婷:ya-ting 淑芬:shu-fen 美玲:mei-ling 佳穎:chia-ying 詩涵:shih-han "
    "欣怡:hsin-yi 雅雯:ya-wen 惠君:hui-chun 筱涵:hsiao-han 思妤:szu-yu 麗華:li-hua 宜蓁:yi-chen "
    "靜宜:ching-yi 心怡:hsin-yi 婉婷:wan-ting 佩珊:pei-shan 玉珍:yu-chen",
    "فاطمه:fatemeh زهرا:zahra مریم:maryam سارا:sara نرگس:narges لیلا:leila الهام:elham "
    "مینا:mina شیرین:shirin نازنین:nazanin پریسا:parisa یاسمن:yasaman کیمیا:kimia ملیکا:melika "
    "نیلوفر:niloufar",
    "Olivia Amelia Isla Ava Emily Grace Sophie Charlotte Jessica Lily Ruby Ella Freya Alice "
    "Hannah Megan Lucy Chloe Rebecca Sarah Priya Aisha Fiona Siobhan",
)
_MEN = (
    "Minh Hùng Dũng Tuấn Nam Hải Long Quang Đức Thắng Sơn Phúc Khánh Việt Bảo Tùng Hoàng Kiên "
    "Văn_Hùng Văn_Nam Đình_Khôi Quốc_Bảo Anh_Tuấn Gia_Huy",
    "志明:chih-ming 俊傑:chun-chieh 建宏:chien-hung 家豪:chia-hao 宗翰:tsung-han 冠宇:kuan-yu "
    "柏翰:po-han 承翰:cheng-han 彥廷:yen-ting 子軒:tzu-hsuan 國華:kuo-hua 文雄:wen-hsiung "
    "信宏:hsin-hung 哲瑋:che-wei 宇軒:yu-hsuan 育誠:yu-cheng 明哲:ming-che",
    "محمد:mohammad علی:ali حسین:hossein رضا:reza مهدی:mehdi امیر:amir سعید:saeed حمید:hamid "
    "کامران:kamran بهرام:bahram کیان:kian فرهاد:farhad یاسر:yaser سیاوش:siavash آرش:arash",
    "Oliver George Harry Noah Jack Arthur Muhammad Leo Oscar Henry Charlie Thomas James "
    "William Edward Samuel Daniel Joseph Callum Rhys Ewan Liam Imran Arjun",
)
_CITIES = (
    "Hà_Nội|Hà_Nội|1000 Hồ_Chí_Minh|Hồ_Chí_Minh|7000 Đà_Nẵng|Đà_Nẵng|5500 "
    "Hải_Phòng|Hải_Phòng|1800 Cần_Thơ|Cần_Thơ|9000 Huế|Thừa_Thiên_Huế|4900 "
    "Nha_Trang|Khánh_Hòa|5700",
    "台北市|台北市|10 新北市|新北市|22 桃園市|桃園市|33 台中市|台中市|40 台南市|台南市|70 "
    "高雄市|高雄市|80 新竹市|新竹市|30",
    "تهران|تهران|11 مشهد|خراسان_رضوی|91 اصفهان|اصفهان|81 شیراز|فارس|71 تبریز|آذربایجان_شرقی|51 "
    "کرج|البرز|31 یزد|یزد|89",
    "London|England|SE1 Manchester|England|M1 Birmingham|England|B1 Leeds|England|LS1 "
    "Glasgow|Scotland|G1 Edinburgh|Scotland|EH1 Cardiff|Wales|CF1 Belfast|Northern_Ireland|BT1 "
    "Bristol|England|BS1",
)
_STREETS = (
    "Lê_Lợi Nguyễn_Huệ Trần_Hưng_Đạo Hai_Bà_Trưng Lý_Thường_Kiệt Điện_Biên_Phủ Phan_Chu_Trinh",
    "中山路 中正路 民生東路 忠孝東路 和平路 復興南路 光復路 建國路",
    "خیابان_آزادی خیابان_انقلاب خیابان_ولیعصر بلوار_کشاورز خیابان_حافظ خیابان_سعدی کوچه_یاس",
    "High_Street Station_Road Church_Lane Victoria_Road Mill_Lane Queen_Street Park_Avenue",
)


@dataclass(frozen=True)
class Words:
    """One vocabulary over all markets, with where each market's words begin and how many."""

    native: list[str]
    latin: list[str]
    other: list[str]
    typo: list[str]
    first: tuple[int, ...]
    count: tuple[int, ...]


def _ascii(word: str) -> str:
    """A word in plain Latin letters, as people put it into an e-mail address."""
    flat = unicodedata.normalize("NFD", word.replace("Đ", "D").replace("đ", "d"))
    return "".join(letter for letter in flat if letter.isascii() and letter.isalnum())


def _other_spelling(word: str, market: int) -> str:
    """What another keyboard writes for the same word: equal to people, not to computers."""
    if market == 0:
        return unicodedata.normalize("NFD", word)
    if market == 2:
        return word.replace("ی", "ي").replace("ک", "ك")
    return word.upper()


def _typo(word: str, market: int) -> str:
    """One plausible typing error: two neighbours change places, or a letter is missing."""
    if market == 0 and _ascii(word) != word.replace(" ", ""):
        return _ascii(word)
    if len(word) == 2:
        return word[::-1]
    if len(word) <= 3:
        return word[0] + word[2] + word[1] if len(word) == 3 and word[1] != word[2] else word * 2
    return word[:2] + word[3] + word[2] + word[4:] if word[2] != word[3] else word[:2] + word[3:]


def _words(markets: tuple[str, ...]) -> Words:
    native: list[str] = []
    latin: list[str] = []
    other: list[str] = []
    typo: list[str] = []
    first: list[int] = []
    count: list[int] = []
    for market, text in enumerate(markets):
        first.append(len(native))
        for entry in text.split():
            word, _, roman = entry.replace("_", " ").partition(":")
            native.append(word)
            latin.append((roman or _ascii(word)).replace("-", "").lower())
            other.append(_other_spelling(word, market))
            typo.append(_typo(word, market))
        count.append(len(native) - first[-1])
    return Words(native, latin, other, typo, tuple(first), tuple(count))


FAMILIES = _words(_FAMILIES)
WOMEN = _words(_WOMEN)
MEN = _words(_MEN)
STREETS = _words(_STREETS)
CITIES = _words(tuple(" ".join(c.split("|")[0] for c in text.split()) for text in _CITIES))
REGIONS = _words(tuple(" ".join(c.split("|")[1] for c in text.split()) for text in _CITIES))
POSTCODES = [entry.split("|")[2] for text in _CITIES for entry in text.split()]

EMAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "post.example")

# Values that people and shop assistants type where they have none.
JUNK_EMAILS = ("test@test.com", "n/a", "unknown", "none", "noemail@noemail.com")
JUNK_PHONES = ("0000000000", "1234567890", "n/a", "unknown", "00000000")

CATEGORIES = {
    "Kitchen": "Teapot Mug Bowl Plate Tray Jar Kettle Whisk Apron Board",
    "Home": "Lantern Candle Cushion Throw Vase Frame Clock Mirror Basket Rug",
    "Garden": "Planter Trowel Gloves Hammock Birdhouse Hose Bench Parasol",
    "Stationery": "Notebook Pen Planner Stickers Envelopes Ruler Calendar",
    "Bags": "Tote Backpack Purse Satchel Pouch Suitcase",
    "Toys": "Puzzle Kite Blocks Doll Train Spinner",
}
ADJECTIVES = ("Red", "Blue", "Linen", "Oak", "Ceramic")
BRANDS = ("Marlow", "Sao Mai", "Formosa Craft", "Nilgoon")
