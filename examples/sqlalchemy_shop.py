"""Orders in a SQLAlchemy application: its own rows commit with the transition, or neither does.

What it shows:

- `engine.joining(session)` makes transitions part of the transaction that the session has open: on its connection,
  under a savepoint, committed by the session's commit and undone by its rollback;
- the application's tables and the ledger's lie in one database, SQLite or PostgreSQL, and know nothing of each other;
- a refusal raises, and undoes nothing of what the session has done before: whether that is kept is the caller's to say;
- effects belong to the transition, so a parcel's label is printed only for orders whose rows were committed.

Run it with `python -m examples.sqlalchemy_shop`. It needs the extra `sqlalchemy`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy
from sqlalchemy import ForeignKey, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from stateward import Actions, Call, Context, Effect, Engine, Event, Final, Lifecycle, Refused, State, on

# The lifecycle.


class Pack(Event):
    weight: int


class HandOver(Event):
    pass


class CallOff(Event):
    pass


class PrintLabel(Effect):
    weight: int


class Parcel(Context):
    weight_max: int = 30_000
    """In grams."""
    weight: int = 0


def is_light_enough(parcel: Parcel, event: Pack) -> bool:
    return event.weight <= parcel.weight_max


def weigh(parcel: Parcel, event: Pack) -> Actions[Parcel]:
    yield PrintLabel(event.weight)
    return parcel.replace(weight=event.weight)


class ParcelLifecycle(Lifecycle[Parcel]):
    """A parcel, from an open box to the carrier."""

    version = 1

    unpacked = State(initial=True)
    packed = State()
    gone = Final()
    called_off = Final()

    pack = on(Pack, unpacked.to(packed), when=is_light_enough, do=weigh, already=packed)
    hand_over = on(HandOver, packed.to(gone))
    call_off = on(CallOff, (unpacked | packed).to(called_off))


# The application's own tables.


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"

    name: Mapped[str] = mapped_column(primary_key=True)
    weight: Mapped[int]
    stock: Mapped[int]


class Line(Base):
    __tablename__ = "order_line"

    id: Mapped[int] = mapped_column(primary_key=True)
    parcel: Mapped[str]
    article: Mapped[str] = mapped_column(ForeignKey("article.name"))
    count: Mapped[int]


class Shop:
    """The application: a database of its own, in which the ledger's tables lie, too."""

    def __init__(self, address: str) -> None:
        """Open it, and make its tables.

        Args:
            address: of the database, as the engine takes it: `sqlite:///shop.db`, `postgresql://user@host/name`.
        """
        self.database = sqlalchemy.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
        if self.database.dialect.name == "sqlite":
            _begin_explicitly(self.database)
        self.engine = Engine(address, lifecycles=[ParcelLifecycle])
        self.labels: list[str] = []
        self.engine.handles(PrintLabel)(self.print_label)
        Base.metadata.create_all(self.database)

    def close(self) -> None:
        """Close both."""
        self.engine.close()
        self.database.dispose()

    def print_label(self, effect: PrintLabel, call: Call) -> None:
        """What is done after commit, by a worker or by `engine.drain()`."""
        self.labels.append(f"{call.entity}: {effect.weight} g")

    @contextmanager
    def session(self) -> Generator[Session]:
        """A session whose transaction is committed at the end of the block, or rolled back if it raises."""
        with Session(self.database) as session, session.begin():
            yield session

    def add_article(self, name: str, *, weight: int, stock: int) -> None:
        """Have something to sell."""
        with self.session() as session:
            session.add(Article(name=name, weight=weight, stock=stock))

    def order(self, parcel: str, **articles: int) -> None:
        """Take articles out of stock and pack them: stock, order lines and the parcel's two steps are one transaction.

        Raises:
            LookupError: there is not enough of an article; nothing has happened.
            Refused: the parcel would be too heavy; nothing has happened.
        """
        with self.session() as session:
            parcels = self.engine.joining(session)
            parcels.create(ParcelLifecycle, parcel, Parcel(), actor="shop:web")
            weight = 0
            for name, count in articles.items():
                article = session.get_one(Article, name, with_for_update=True)
                if article.stock < count:
                    message = f"there are {article.stock} of {name}, and not {count}"
                    raise LookupError(message)
                article.stock -= count
                weight += article.weight * count
                session.add(Line(parcel=parcel, article=name, count=count))
            parcels.send(ParcelLifecycle, parcel, Pack(weight=weight), actor="shop:web")

    def call_off(self, parcel: str) -> None:
        """Put a parcel's articles back into stock, if it has not gone yet.

        Raises:
            Refused: it has; nothing has happened.
        """
        with self.session() as session:
            self.engine.joining(session).send(ParcelLifecycle, parcel, CallOff(), actor="shop:web")
            for line in session.scalars(select(Line).where(Line.parcel == parcel)).all():
                session.get_one(Article, line.article).stock += line.count
                session.delete(line)

    def stock(self) -> dict[str, int]:
        """What is in stock, by article."""
        with self.session() as session:
            return {each.name: each.stock for each in session.scalars(select(Article).order_by(Article.name))}


def _begin_explicitly(database: sqlalchemy.Engine) -> None:
    """Have SQLite's transactions begin when SQLAlchemy begins them, as writers.

    By itself Python's driver begins them later, as readers: two that read first and write then would fail each other.
    """

    @event.listens_for(database, "connect")
    def leave_it_to_us(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(database, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def main() -> None:
    """Three orders: one that goes well, one that is too heavy, one that asks for more than there is."""
    with TemporaryDirectory() as folder:
        shop = Shop(f"sqlite:///{Path(folder) / 'shop.db'}")
        shop.add_article("anvil", weight=25_000, stock=3)
        shop.add_article("feather", weight=1, stock=100)
        shop.order("P-1", anvil=1, feather=10)
        print("P-1", shop.engine.get(ParcelLifecycle, "P-1").state, shop.stock())
        for parcel, articles in (("P-2", {"feather": 5, "anvil": 2}), ("P-3", {"feather": 200})):
            try:
                shop.order(parcel, **articles)
            except (Refused, LookupError) as no:
                print(f"{parcel}: {no}; {shop.stock()}, {shop.engine.get_many(ParcelLifecycle, [parcel])}")
        shop.engine.drain()
        print("labels:", shop.labels)
        shop.call_off("P-1")
        print("P-1", shop.engine.get(ParcelLifecycle, "P-1").state, shop.stock())
        shop.close()


if __name__ == "__main__":
    main()
