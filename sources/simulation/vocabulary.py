"""Words of the simulated trade: places, names, goods, what people write to customer service."""

REGIONS = (
    # province, city, districts, warehouse that serves it
    ("上海市", "上海市", ("浦东新区", "徐汇区", "静安区", "闵行区"), "WH-EAST"),
    ("浙江省", "杭州市", ("西湖区", "余杭区", "滨江区"), "WH-EAST"),
    ("江苏省", "南京市", ("鼓楼区", "建邺区", "江宁区"), "WH-EAST"),
    ("江苏省", "苏州市", ("姑苏区", "吴中区", "虎丘区"), "WH-EAST"),
    ("广东省", "广州市", ("天河区", "越秀区", "番禺区"), "WH-SOUTH"),
    ("广东省", "深圳市", ("南山区", "福田区", "龙岗区"), "WH-SOUTH"),
    ("福建省", "厦门市", ("思明区", "湖里区"), "WH-SOUTH"),
    ("北京市", "北京市", ("朝阳区", "海淀区", "丰台区"), "WH-NORTH"),
    ("天津市", "天津市", ("和平区", "南开区"), "WH-NORTH"),
    ("四川省", "成都市", ("武侯区", "锦江区", "青羊区"), "WH-WEST"),
    ("湖北省", "武汉市", ("武昌区", "江汉区", "洪山区"), "WH-WEST"),
    ("陕西省", "西安市", ("雁塔区", "碑林区"), "WH-WEST"),
)
ROADS = ("人民路", "中山路", "解放路", "建设路", "文化路", "和平路", "新华街", "学府路", "长江路", "滨河路")
COMMUNITIES = ("阳光花园", "锦绣家园", "翠湖小区", "金色港湾", "书香名邸", "万和城", "东方明珠苑", "绿洲雅居")
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高"
GIVEN_NAMES = ("伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "洋", "艳", "勇", "杰", "雨晨", "子涵", "浩然", "思远")

CHANNELS = (("taobao", "TB"), ("tmall", "TM"), ("jd", "JD"), ("pdd", "PD"), ("douyin", "DY"), ("mini_program", "MP"),
            ("shopify", "SH"))  # fmt: skip
PAYMENT_METHODS = ("alipay", "wechat", "unionpay", "card")
COURIERS = ("sf", "zto", "yto", "jd_logistics", "ems")

GOODS = {
    # category: (name, usual price in fen)
    "general": (("保温杯", 8_900), ("雨伞", 5_900), ("双肩包", 19_900), ("台灯", 12_900)),
    "apparel": (("纯棉T恤", 7_900), ("牛仔裤", 15_900), ("羽绒服", 59_900), ("运动鞋", 39_900)),
    "electronics": (("蓝牙耳机", 29_900), ("充电宝", 12_900), ("机械键盘", 45_900), ("智能手表", 129_900)),
    "beauty": (("洁面乳", 8_800), ("精华液", 26_800), ("防晒霜", 11_800)),
    "home": (("四件套", 25_900), ("炒锅", 18_900), ("收纳箱", 6_900)),
    "grocery": (("坚果礼盒", 12_800), ("挂面", 2_990), ("绿茶", 16_800)),
    "fresh": (("车厘子", 15_900), ("三文鱼", 12_900), ("鲜牛奶", 6_990), ("冷鲜牛肉", 13_900)),
}
USUAL_CATEGORIES = ("general",) * 6 + ("apparel",) * 5 + ("electronics",) * 3 + (
    "beauty", "beauty", "home", "home", "grocery", "fresh", "fresh")  # fmt: skip

QUIET_BEFORE = ("page_view", "page_view", "item_view", "item_view", "search", "add_to_cart", "favourite",
                "review_read", "coupon_view", "checkout_open", "video_watch")  # fmt: skip
QUIET_AFTER = ("order_query", "order_query", "logistics_query", "page_view", "item_view", "push_open")
QUIET_CHATS = ("你好,请问这款有现货吗?", "发票可以开公司抬头吗", "谢谢客服", "请问是什么快递?", "Thanks, got it",
               "Could you tell me the size of this one?", "可以帮我备注一下包装吗")  # fmt: skip
HUB_SCANS = ("arrived_at_hub", "left_hub")
