"""The nearest tags of each tag in a space of vectors: what blocking and the features of pairs are built on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CHUNK = 1_024
# Up to so many tags every pair is looked at; beyond it only the tags of the nearest cells, which costs n^1.5.
_EXACT_UP_TO = 16_384
_CELLS_SEARCHED = 12
# Spellings that so many tags share tell nobody apart, and would make the sparse product as dense as the pairs.
_COMMON_GRAM = 1_000


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For `n` tags the nearest others, nearest first.

    `others` (n, k) holds their places and -1 where there are fewer; `likeness` (n, k) their cosines, 0 where there
    are none. `known` (n,) says which tags have a place in this space at all.
    """

    others: np.ndarray
    likeness: np.ndarray
    known: np.ndarray

    def pairs(self, most: int, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Places of both ends of all pairs among the `most` nearest that are at least `least` alike."""
        wanted = (self.others[:, :most] >= 0) & (self.likeness[:, :most] >= least)
        first, rank = np.nonzero(wanted)
        return first, self.others[first, rank]

    def rank(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Place of `second` among the neighbours of `first`, from 1; one more than are kept where it is not."""
        found = self.others[first] == second[:, None]
        return np.where(found.any(axis=1), found.argmax(axis=1) + 1, self.others.shape[1] + 1)

    def best_other(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Likeness of the nearest neighbour of `first` that is not `second`; 0 where it has none."""
        nearest = self.likeness[first, 0]
        return np.where(self.others[first, 0] == second, self.likeness[first, 1], nearest)

    def density(self, places: np.ndarray) -> np.ndarray:
        """Mean likeness of the kept neighbours: how crowded it is around each tag."""
        return self.likeness[places].mean(axis=1)


def nearest(
    matrix: np.ndarray | csr_matrix, known: np.ndarray, most: int, wanted: np.ndarray | None = None
) -> Neighbours:
    """The `most` nearest known rows of every known row of `matrix` (n, d), dense or sparse with unit rows.

    `wanted`: the places to find neighbours for, all where None; the others then have none.
    """
    size = len(known)
    others = np.full((size, most), -1, dtype=np.int32)
    likeness = np.zeros((size, most), dtype=np.float32)
    places = np.flatnonzero(known)
    asked = np.arange(len(places)) if wanted is None else np.flatnonzero(np.isin(places, wanted))
    if len(places) > 1 and len(asked):
        held = matrix if len(places) == size else matrix[places]
        found = _dense(held, asked, most) if isinstance(held, np.ndarray) else _sparse(held, asked, most)
        for rows, columns, values in found:
            others[places[rows], : columns.shape[1]] = np.where(columns >= 0, places[columns], -1)
            likeness[places[rows], : columns.shape[1]] = values
    return Neighbours(others, likeness, known)


def cosines(matrix: np.ndarray | csr_matrix, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each pair of unit rows."""
    values = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), _CHUNK * 16):
        part = slice(start, start + _CHUNK * 16)
        if isinstance(matrix, np.ndarray):
            values[part] = np.einsum("ij,ij->i", matrix[first[part]], matrix[second[part]])
        else:
            values[part] = np.asarray(matrix[first[part]].multiply(matrix[second[part]]).sum(axis=1)).ravel()
    return values


def gram_matrix(texts: Iterable[str], sizes: tuple[int, int]) -> csr_matrix:
    """Unit rows of TF-IDF weighted character n-grams (`sizes`: shortest and longest) within words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    listed = list(texts)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=sizes, lowercase=False, sublinear_tf=True)
    if not any(text.strip() for text in listed):
        return _empty(len(listed))
    return vectorizer.fit_transform(listed).astype(np.float32)


def _empty(rows: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((rows, 1), dtype=np.float32)


_Found = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _dense(matrix: np.ndarray, asked: np.ndarray, most: int) -> _Found:
    """Rows, places of their nearest, likeness; every row against every other, or against those of near cells."""
    everything = np.arange(len(matrix))
    if len(matrix) * len(asked) <= _EXACT_UP_TO**2:
        for start in range(0, len(asked), _CHUNK):
            rows = asked[start : start + _CHUNK]
            yield rows, *_best(matrix[rows] @ matrix.T, rows, everything, most)
        return
    # Cells around tags drawn evenly; a row is compared with the members of the cells nearest to its own centre.
    centres = matrix[np.linspace(0, len(matrix) - 1, int(len(matrix) ** 0.5)).astype(int)]
    cell_of = np.concatenate(
        [(matrix[start : start + _CHUNK] @ centres.T).argmax(axis=1) for start in range(0, len(matrix), _CHUNK)]
    )
    members = [np.flatnonzero(cell_of == cell) for cell in range(len(centres))]
    means = np.array(
        [matrix[held].mean(axis=0) if len(held) else centre for held, centre in zip(members, centres, strict=True)]
    )
    near = np.argsort(-(means @ means.T), axis=1)[:, :_CELLS_SEARCHED]
    for cell, held in enumerate(members):
        rows = held[np.isin(held, asked)]
        columns = np.concatenate([members[other] for other in near[cell]])
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            yield part, *_best(matrix[part] @ matrix[columns].T, part, columns, most)


def _best(table: np.ndarray, rows: np.ndarray, columns: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and likeness of the best `most` columns of each row, itself excepted."""
    table[rows[:, None] == columns[None, :]] = -1.0
    most = min(most, table.shape[1])
    chosen = np.argpartition(-table, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(table, chosen, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    places = columns[np.take_along_axis(chosen, order, axis=1)]
    return np.where(values > 0, places, -1), np.maximum(values, 0)


def _sparse(matrix: csr_matrix, asked: np.ndarray, most: int) -> _Found:
    counts = np.bincount(matrix.indices)
    light = matrix.copy()
    light.data[counts[light.indices] > _COMMON_GRAM] = 0
    light.eliminate_zeros()
    turned = light.T.tocsr()
    for start in range(0, len(asked), _CHUNK):
        rows = asked[start : start + _CHUNK]
        product = (light[rows] @ turned).tocsr()
        columns = np.full((len(rows), most), -1, dtype=np.int64)
        values = np.zeros((len(rows), most), dtype=np.float32)
        for place, row in enumerate(rows):
            span = slice(product.indptr[place], product.indptr[place + 1])
            others, data = product.indices[span], product.data[span]
            data = np.where(others == row, -1.0, data)
            best = np.argpartition(-data, most - 1)[:most] if len(data) > most else np.arange(len(data))
            best = best[np.argsort(-data[best], kind="stable")]
            best = best[data[best] > 0]
            columns[place, : len(best)], values[place, : len(best)] = others[best], data[best]
        yield rows, columns, values
