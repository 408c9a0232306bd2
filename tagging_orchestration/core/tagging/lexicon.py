"""Closed word lists for candidate generation in English and Chinese.

Three grades: *break* words end a candidate phrase, *weak* words may stand inside a phrase but are no tag by
themselves, and *never* words (calendar, agencies, boilerplate) are no fresh tag, alone or at either end. People's
own tags are not judged by these lists. Other languages use the stop words of `LanguageTools.stop_words`.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH_FUNCTION = _words("""
a about above its including featuring according regarding concerning containing involving using being having
making going across after afterwards again against ago ah all almost alone along already also although
always am amid among amongst an and another any anybody anyhow anymore anyone anything anyway anywhere are
aren't around as aside at away back be became because become becomes becoming been before beforehand below
beneath beside besides between beyond both but by can can't cannot could couldn't despite did didn't do does
doesn't doing don't done down during each either else elsewhere enough etc even ever every everybody
everyone everything everywhere except few fewer for former forth from further furthermore get gets getting
got gotten had hadn't has hasn't have haven't he he'd he'll hence her here hereby herein hers herself him
himself his how however i i'd i'll i'm i've if in indeed inside instead into is isn't it it'd it'll itself
just last latter least less lest let let's like likewise ll lot lots many may maybe me meanwhile might mine
more moreover most mostly much must my myself namely near nearly neither never nevertheless next no nobody
none nonetheless nor not nothing notwithstanding now nowhere of off oh often ok okay on once one ones only
onto or other others otherwise ought our ours ourselves out outside over own per perhaps please plus quite
rather re really same several shall she she'd she'll should shouldn't since so some somebody somehow someone
something sometime sometimes somewhere soon still such than that that'd that'll the thee their theirs them
themselves then thence there thereafter thereby therefore therein these they they'd they'll they're they've
this those though through throughout thus till to together too toward towards twice under unless unlike
until up upon us ve versus very via vs was wasn't we we'd we'll we're we've well were weren't what whatever
when whenever where whereas whereby wherein wherever whether which whichever while who whoever whole whom
whose why will with within without won't would wouldn't yes yet you you'd you'll you're you've your yours
yourself yourselves ain't d s t m hi hello hey thanks thank wow ie eg al et cf ibid viz aka im ive dont e.g
i.e doesnt didnt cant wont isnt wasnt couldnt wouldnt shouldnt youre theyre thats whats lol omg til cos cuz
gonna wanna gotta
""")

# Verbs that hardly ever name a subject, by lemma; their inflections end a phrase too.
ENGLISH_VERBS = _words("""
accept achieve add advise agree aim allow announce appear apply appreciate approach argue arrive ask assume
attempt avoid base be bear become begin behave believe belong bring buy call carry choose claim come compare
complain comprise concern conclude confirm consider consist constitute contain continue contribute
correspond create cut deal decide declare deem define deliver demonstrate deny depend derive describe
deserve determine develop differ discuss do eat employ enable encourage ensure establish evaluate exist
expect explain explore express extend face fail fall feel fill find finish fit focus follow force forget get
give go grow guess handle happen have hear help hold hope identify illustrate imagine imply improve include
increase indicate inform intend introduce investigate involve keep know lack lay lead learn leave let lie
like live look lose make manage mean mention meet miss move need note notice obtain occur offer open outline
own pay perform pick place play please point possess prefer present preserve prevent proceed produce propose
prove provide publish pull push put raise reach read realize receive recommend reduce refer refuse regard
reject relate rely remain remember remove replace report represent request require resolve respond result
return reveal say see seek seem sell send serve set settle show sit solve speak spend stand start state stay
stop submit suffer suggest suit support suppose take talk tell tend think throw tie treat try turn
understand use utilize utilise vary wait walk want warn watch wear win wish wonder work worry write yield
facilitate analyse analyze adopt assess assist attend characterise characterize clarify combine conduct
construct cover devise emerge emphasize emphasise enhance examine exceed exhibit fetch generate highlight
implement incorporate inspire maintain minimise minimize maximise maximize modify motivate observe operate
optimise optimize overcome participate predict promote purchase pursue realise reflect retain satisfy select
share simplify specify strengthen succeed summarise summarize surround survey sustain tackle transform
trigger undergo undertake validate verify arrest kill vow pledge urge unveil slam hit boost launch plan rise
drop gain climb slip surge plunge jump soar ease edge cancel ship order contact dispute file charge
""")
# Lemmas above that are at least as often the name of something: they may be in a phrase, only their verb forms
# in -ed and -s are weak. Kept apart so that the list above stays complete as a list of verbs.
ENGLISH_NOUN_VERBS = _words("""
approach attempt base bear call claim concern cut deal employ face fall fit focus force help hope increase
lack lead lie look move need note offer order plan place play point present purchase raise reach read report
request result return share show stand start state stay stop support survey talk tie treat trigger turn use
wait walk watch wish win work worry drop gain hit boost launch rise surge plunge jump ease edge charge file
dispute ship contact cover conduct construct yield set suit select combine
""")

ENGLISH_WEAK = _words("""
able actual additional afraid available aware bad basic best better big bigger biggest bit brief broad
certain clear clearer close closer common complete complex considerable considered convenient correct
current different difficult direct due early easier easiest easy effective efficient eight eighth eighteen
eleven entire essential exact excellent existing extra extreme fair familiar fast faster fifteen fifth fifty
fine first five forty four fourth free fresh full general given glad good great greater greatest half happy
hard harder heavy high higher highest huge hundred hundreds important impossible individual interesting key
kind large larger largest late later latest likely limited little long longer low lower lowest main major
million millions billion billions minor multiple necessary new newer newest nice nine ninth normal novel
numerous obvious odd old older original overall particular past perfect popular positive possible potential
present previous primary probable proper quick quicker quickest ready real recent recently relevant
respective right rough round second separate seven seventh short shorter significant similar simple simpler
simplest single six sixth small smaller smallest special specific standard strange strong stronger
subsequent successful sufficient suitable sure ten tenth terrible third thirty thorough thousand thousands
three total tough true trillion twelve twenty two typical unable unique unknown unusual usual useful useless
various vast weak weird whole wide wider wonderful worse worst worth wrong yearly young younger zero growing
further foregone genuine dramatic intrinsic rising falling increasing leading continuing awesome amazing
horrible gorgeous lovely ugly cheap expensive poor rich pretty super far near deep top bottom front rear
left upper inner outer way ways thing things stuff kinds sort sorts type types lot lots bunch couple pair
number numbers amount amounts part parts piece pieces side sides end ends case cases example examples
instance instances fact facts reason reasons question questions answer answers problem problems issue issues
idea ideas point points matter matters person people man men woman women guy guys someone everybody folk
folks friend friends day days week weeks month months year years hour hours minute minutes seconds time
times moment moments today tonight tomorrow yesterday morning afternoon evening night weekend decade decades
century ago date dates result results paper papers article articles study studies author authors section
sections figure figures table tables chapter work works approach approaches method methods manner aspect
aspects factor factors term terms use uses usage purpose purposes step steps order detail details effect
effects need needs change changes level levels rest set sets line lines list lists place places area areas
group groups sum percent percentage share rate rates something anything everything nothing somebody anyone
everyone none version versions mr mrs ms dr sir madam jr sr ability attention basis beginning benefit
benefits chance choice comparison concept conclusion condition conditions consequence context course
decision degree difference differences difficulty effort efforts evidence experience explanation extent
feature features field fields finding findings form forms framework goal goals hand hands help hope
importance improvement increase information input introduction knowledge lack length life look majority
means member members mind move name names nature notion objective objectives opinion opportunity option
options output overview performance period plan plans position possibility presence process processes
progress property properties proposal range reality requirement requirements research response role roles
rule rules scenario scenarios sense series significance situation situations size solution solutions source
sources start state statement status stage strategy structure style subject success summary system systems
task tasks technique techniques test tests thought thoughts topic topics try trouble understanding user
users value values variety view views world
""")

# Weak words that are tags often enough to be judged by the ranker instead ("systems" never, "performance" yes).
ENGLISH_PLAIN_NOUNS = _words("""
knowledge performance research information life property rate rates plan plans system systems world test
tests user users rules strategy structure framework solution method methods process size field fields series
task feature features style options evidence experience table list
""")

ENGLISH_NEVER = _words("""
monday tuesday wednesday thursday friday saturday sunday mon tue wed thu thur thurs fri sat sun january
february march april june july august september october november december jan feb mar apr jun jul aug sep
sept oct nov dec spring summer autumn today tonight tomorrow yesterday noon midnight am pm est edt gmt utc
pst pdt reuters ap afp upi xinhua bloomberg newswire url http https www html htm com org net amp nbsp quot
lt gt apos copyright inc corp ltd llc plc co fig eq etc mr mrs ms dr vs yo abstract keywords doi isbn issn
pdf jpg png gif arxiv preprint
""")
# A word in -ly is an adverb and ends a phrase, but for these.
ENGLISH_LY_NOUNS = _words("""
ally anomaly assembly belly bully butterfly doily early family firefly fly folly gully homily hilly holly
italy jelly july lily melancholy monopoly multiply oligopoly panoply ply rally reply sly supply tally
trolley ugly wooly billy sally molly polly emily kelly beverly elderly costly friendly likely lonely lovely
only daily weekly monthly quarterly poly sicily thermopoly woolly curly silly
""")

CHINESE_BREAK = _words("""
每天 搭配 建議 不用 謝謝 谢谢 請問 请问 可惜 收到 希望 改進 麻煩 麻烦 以免 差多少 多少
的 了 在 是 和 與 与 及 或 而 但 也 都 就 又 還 还 很 更 最 太 不 沒 没 沒有 没有 被 把 將 将 對 对 對於
对于 從 从 向 往 於 于 以 以及 因 因為 因为 因此 所以 由 由於 由于 為 为 為了 为了 之 其 其中 其他 其它 此
這 这 這個 这个 這些 这些 這樣 这样 這種 这种 那 那個 那个 那些 那麼 那么 哪 哪些 哪個 哪个 什麼 什么 怎麼
怎么 怎樣 怎样 如何 為什麼 为什么 為何 为何 誰 谁 我 我們 我们 你 你們 你们 您 他 他們 他们 她 她們 她们 它
它們 它们 自己 自身 本 本文 該 该 各 各個 各个 各種 各种 各類 各类 每 每個 每个 某 某些 某個 某个 有 有些
有的 所 所有 一 一個 一个 一些 一種 一种 一樣 一样 一下 一直 一般 一定 一次 一是 二是 三是 第一 第二 第三 兩
两 兩個 两个 兩種 两种 三個 三个 多 多個 多个 多種 多种 幾 几 幾個 几个 若干 許多 许多 很多 不少 大量 少量
部分 全部 整個 整个 個 个 種 种 類 类 次 件 項 项 等 等等 上 下 中 裡 里 裏 內 内 外 前 後 后 左右 之間 之间
之後 之后 之前 以上 以下 以後 以后 以前 以來 以来 以外 時 时 時候 时候 當 当 當時 当时 目前 現在 现在 如今
今天 昨天 明天 今年 去年 明年 近年 近年來 近年来 近來 近来 最近 曾 曾經 曾经 已 已經 已经 正 正在 剛 刚 剛剛
刚刚 將要 即將 即将 會 会 能 能夠 能够 可 可以 可能 應 应 應該 应该 應當 应当 必須 必须 需 需要 要 想 想要
請 请 讓 让 使 使得 令 給 给 用 用於 用于 通過 通过 透過 透过 經過 经过 經由 经由 根據 根据 依據 依据 按照
按 依 隨著 随着 隨 随 關於 关于 有關 有关 相關 相关 針對 针对 基於 基于 並 并 並且 并且 而且 而是 而言 不僅
不仅 不但 不過 不过 不同 不能 不會 不会 不是 不再 不足 無 无 無法 无法 非 未 未能 如 如果 如下 如此 若 假如
只 只有 只是 只能 僅 仅 僅僅 仅仅 甚至 尤其 尤其是 特別 特别 特別是 特别是 另外 此外 同時 同时 然後 然后
於是 于是 然而 但是 可是 雖然 虽然 雖 虽 儘管 尽管 即使 無論 无论 不論 不论 或者 還是 还是 還有 还有 既 且
則 则 即 亦 均 皆 仍 仍然 仍舊 再 再次 先 首先 其次 最後 最后 最終 最终 終於 终于 總之 总之 得 得到 地 著 着
過 过 來 来 去 到 出 起 進行 进行 具有 作為 作为 成為 成为 屬於 属于 包括 包含 存在 產生 产生 提出 提供 提高
採用 采用 使用 利用 應用於 应用于 結合 结合 介紹 介绍 探討 探讨 討論 讨论 分析了 闡述 阐述 闡明 阐明 表明
說明 说明 指出 認為 认为 發現 发现 得出 證明 证明 顯示 显示 給出 给出 實現 实现 獲得 获得 達到 达到 滿足
满足 解決 解决 選擇 选择 建立 建立了 構建 构建 描述 比較 比较 進而 进而 從而 从而 進一步 进一步 逐步 逐漸
逐渐 日益 越來越 越来越 非常 十分 相當 相当 較 较 較為 较为 極 极 極其 极其 幾乎 几乎 大約 大约 約 约 至
至少 至於 至于 直到 之一 之中 等方面 方面 表示 知道 覺得 觉得 感覺 感觉 看 看到 說 说 講 讲 叫 做 作 吃 買
买 打 拿 放 找 問 问 希望 喜歡 喜欢 開始 开始 繼續 继续 完成 看看 真 真的 好 大家 嗎 吗 呢 吧 啊 喔 哦 啦 呀
哈 嘛 旨在 致使 有效 良好 重要 主要 具體 具体 較好 较好 較高 较高 較大 较大 明顯 明显 顯著 显著 合理 相應
相应 相互 互相 分別 分别 分為 分为 處於 处于 位於 位于 有利於 有利于 有助於 有助于 為例 为例 以期 藉由 藉此
借助 藉助 憑藉 凭借 面對 面对 圍繞 围绕 同 跟 比 像 似 般
""")

CHINESE_WEAK = _words("""
方法 問題 问题 結果 结果 研究 分析 情況 情况 過程 过程 方式 特點 特点 特性 特征 特徵 作用 影響 影响 關係
关系 條件 条件 因素 原因 目的 意義 意义 內容 内容 基礎 基础 原則 原则 原理 要求 需求 能力 水平 程度 範圍
范围 方案 措施 建議 建议 對策 对策 途徑 途径 思路 觀點 观点 概念 理論 理论 實踐 实践 經驗 经验 技術 技术
系統 系统 模型 工作 活動 活动 時間 时间 地方 東西 东西 人們 人们 人 事 事情 學者 学者 作者 文章 論文 论文
實驗 实验 實例 实例 例子 數據 数据 資料 信息 資訊 功能 性能 效果 效率 質量 质量 優勢 优势 優點 优点 缺點
缺点 狀態 状态 狀況 状况 現狀 现状 現象 现象 趨勢 趋势 發展 发展 變化 变化 差異 差异 角度 層面 层面 環節
环节 階段 阶段 步驟 步骤 部分 整體 整体 總體 总体 新 大 小 高 低 多 少 長 长 短 快 慢 強 强 弱 好 壞 坏 主要
重要 一般 基本 具體 具体 實際 实际 不同 傳統 传统 現代 现代 國內 国内 國外 国外 我國 我国 中國 中国 設計
设计 應用 应用 實現 实现 處理 处理 計算 计算 測試 测试 檢測 检测 控制 管理 評價 评价 評估 评估 年 月 日 天
週 周 小時 小时 分鐘 分钟 星期 個月 个月 公司 客服 訊息 消息 錯誤 错误 專案 项目 文件 檔案 程式 程序 使用者
用户 用戶 步 種類 种类 類型 类型 指標 指标 參數 参数 結構 结构 形式 機制 机制 模式 策略 目標 目标 對象 对象
領域 领域 行業 行业 必要 必要性 可行性 可能性 重要性 有效性 合理性 準確性 准确性
""")

# Who speaks and is spoken to: the mark of conversation.
ENGLISH_SPEAKING = _words("""
i i'm i've i'd i'll me my mine myself you your yours you're you've you'd you'll yourself im ive
he he's she she's him his her hers himself herself said says
""")

# English words beside which the next or last word is a verb, or a noun.
BEFORE_VERBS = _words("""
to can cannot can't will won't would should could may might must not don't didn't doesn't i we you they he
she who let's please shall never also it
""")
AFTER_VERBS = _words("""
a an any each every her him his it its itself me my our some the their them themselves these this those us
your
""")
BEFORE_NOUNS = _words("""
a about an another any as between by each every for from her his in into its my no of on our some the their
these this those with your
""")

# Endings of English adjectives, and endings that look so but are nouns. Tuples, for str.endswith.
ADJECTIVE_ENDINGS = tuple(
    sorted(
        _words("""
ous ive able ible ful less ical ial onal ary ish est ier ant ent ral nal based like free ic ed
""")
    )
)
NOT_ADJECTIVE_ENDINGS = tuple(
    sorted(
        _words("""
ment ics music traffic topic logic clinic fabric magic plastic garlic picnic panic test forest interest
harvest request library dictionary salary summary agent content event client student patient parent accident
president restaurant plant merchant elephant table cable vegetable vehicle archive drive executive journal
signal terminal trial tutorial material professional seed feed speed breed bed need chest guest quest nest
fest seal mineral funeral general dish fish radish wish
""")
    )
)
