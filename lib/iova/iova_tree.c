/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdlib.h>

#include "iova_impl.h"

/*
 * A treap: it is ordered by address, and is a heap by random priority, so its expected depth is
 * logarithmic whatever the order of calls (Seidel and Aragon, "Randomized Search Trees", 1996).
 * Each node has the length of the longest free range in its subtree, which guides searches.
 */

static inline uint64_t max_free(const struct iova_node *n)
{
	return n != NULL ? n->max_free : 0;
}

static void update(struct iova_node *n)
{
	uint64_t longest = n->free ? n->len : 0;

	longest = RTE_MAX(longest, max_free(n->left));
	n->max_free = RTE_MAX(longest, max_free(n->right));
}

static struct iova_node *rotate_right(struct iova_node *n)
{
	struct iova_node *up = n->left;

	n->left = up->right;
	up->right = n;
	update(n);
	update(up);
	return up;
}

static struct iova_node *rotate_left(struct iova_node *n)
{
	struct iova_node *up = n->right;

	n->right = up->left;
	up->left = n;
	update(n);
	update(up);
	return up;
}

static struct iova_node *insert(struct iova_node *n, struct iova_node *new)
{
	if (n == NULL) {
		update(new);
		return new;
	}
	if (new->start < n->start) {
		n->left = insert(n->left, new);
		if (n->left->priority > n->priority)
			return rotate_right(n);
	} else {
		n->right = insert(n->right, new);
		if (n->right->priority > n->priority)
			return rotate_left(n);
	}
	update(n);
	return n;
}

static struct iova_node *merge(struct iova_node *a, struct iova_node *b)
{
	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (a->priority > b->priority) {
		a->right = merge(a->right, b);
		update(a);
		return a;
	}
	b->left = merge(a, b->left);
	update(b);
	return b;
}

static struct iova_node *erase(struct iova_node *n, const struct iova_node *old)
{
	if (n == old)
		return merge(n->left, n->right);
	if (old->start < n->start)
		n->left = erase(n->left, old);
	else
		n->right = erase(n->right, old);
	update(n);
	return n;
}

/* Update `changed`, whose length or state is new, and the nodes above it. */
static void refresh(struct iova_node *n, const struct iova_node *changed)
{
	if (n != changed)
		refresh(changed->start < n->start ? n->left : n->right, changed);
	update(n);
}

/* ------------------------------------------------------------------------------------ nodes */

/* Make `count` nodes ready, so that what follows cannot fail half-way. */
static int provide(struct iova_tree *tree, unsigned int count)
{
	struct iova_node **last = &tree->spare;

	for (; count > 0; count--) {
		if (*last == NULL)
			*last = calloc(1, sizeof(**last));
		if (*last == NULL)
			return moat_error(-ENOMEM, "no memory for the IOVA allocator");
		last = &(*last)->left;
	}
	return 0;
}

static struct iova_node *add_node(struct iova_tree *tree, uint64_t start, uint64_t len, bool free)
{
	struct iova_node *n = tree->spare;

	tree->spare = n->left;
	tree->seed ^= tree->seed << 13; /* xorshift32 (Marsaglia 2003) */
	tree->seed ^= tree->seed >> 17;
	tree->seed ^= tree->seed << 5;
	*n = (struct iova_node){ .start = start, .len = len, .free = free, .priority = tree->seed };
	tree->root = insert(tree->root, n);
	return n;
}

static void drop_node(struct iova_tree *tree, struct iova_node *n)
{
	tree->root = erase(tree->root, n);
	n->left = tree->spare;
	tree->spare = n;
}

int iova_tree_init(struct iova_tree *tree, uint64_t start, uint64_t len)
{
	*tree = (struct iova_tree){ .seed = 2463534242u, .free_pages = len, .free_runs = 1 };
	if (provide(tree, 1) != 0)
		return -ENOMEM;
	add_node(tree, start, len, true);
	return 0;
}

static void free_nodes(struct iova_node *n)
{
	if (n == NULL)
		return;
	free_nodes(n->left);
	free_nodes(n->right);
	free(n);
}

void iova_tree_fini(struct iova_tree *tree)
{
	free_nodes(tree->root);
	while (tree->spare != NULL) {
		struct iova_node *n = tree->spare;

		tree->spare = n->left;
		free(n);
	}
}

/* ----------------------------------------------------------------------------------- search */

struct iova_node *iova_tree_find(const struct iova_tree *tree, uint64_t page)
{
	struct iova_node *n = tree->root;

	while (n != NULL && page - n->start >= n->len)
		n = page < n->start ? n->left : n->right;
	return n;
}

struct fit {
	uint64_t len, align;
	uint64_t at; /* result: the page where the run fits */
	bool from_top;
	/* ranges that may still fail by alignment alone before the search gives up */
	unsigned int patience;
};

static bool fits(struct fit *f, const struct iova_node *n)
{
	if (!n->free || n->len < f->len)
		return false;
	if (f->from_top)
		f->at = (n->start + n->len - f->len) & ~(f->align - 1);
	else
		f->at = (n->start + f->align - 1) & ~(f->align - 1);
	if (f->at >= n->start && f->at - n->start <= n->len - f->len)
		return true;
	f->patience -= f->patience != 0;
	return false;
}

/* Find the first range, from the bottom or the top, in which the request fits. */
static struct iova_node *search(struct fit *f, struct iova_node *n)
{
	struct iova_node *found;

	if (n == NULL || n->max_free < f->len || f->patience == 0)
		return NULL;
	found = search(f, f->from_top ? n->right : n->left);
	if (found != NULL)
		return found;
	if (f->patience != 0 && fits(f, n))
		return n;
	return search(f, f->from_top ? n->left : n->right);
}

static struct iova_node *find_room(struct iova_tree *tree, struct fit *f)
{
	uint64_t len = f->len;
	struct iova_node *n;

	/* First fit, which gives up after 16 ranges that are long enough and fail only by
	 * alignment. Then the first range that is long enough for any alignment; if there is none,
	 * first fit among all ranges. */
	f->patience = 16;
	n = search(f, tree->root);
	if (n == NULL && f->patience == 0) {
		f->len = len + f->align - 1;
		f->patience = 1;
		n = search(f, tree->root);
		f->len = len;
		f->patience = UINT32_MAX;
		if (n != NULL)
			fits(f, n);
		else
			n = search(f, tree->root);
	}
	return n;
}

/* ------------------------------------------------------------------------------- operations */

/* Take [start, start + len) out of the free range `n`. Two nodes must be ready. */
static struct iova_node *carve(struct iova_tree *tree, struct iova_node *n, uint64_t start,
	uint64_t len)
{
	uint64_t front = start - n->start, end = n->start + n->len;

	tree->free_pages -= len;
	tree->free_runs--;
	if (front != 0) {
		n->len = front;
		refresh(tree->root, n);
		tree->free_runs++;
		n = add_node(tree, start, len, false);
	} else {
		n->len = len;
		n->free = false;
		refresh(tree->root, n);
	}
	if (start + len != end) {
		add_node(tree, start + len, end - start - len, true);
		tree->free_runs++;
	}
	return n;
}

int iova_tree_alloc(struct iova_tree *tree, uint64_t len, uint64_t align, bool from_top,
	struct iova_node **node)
{
	struct fit f = { .len = len, .align = align, .from_top = from_top };
	struct iova_node *n;

	if (provide(tree, 2) != 0)
		return -ENOMEM;
	n = find_room(tree, &f);
	if (n == NULL)
		return -ENOSPC;
	*node = carve(tree, n, f.at, len);
	return 0;
}

int iova_tree_take(struct iova_tree *tree, uint64_t start, uint64_t len, struct iova_node **node)
{
	struct iova_node *n = iova_tree_find(tree, start);

	if (n == NULL || !n->free || len > n->len - (start - n->start))
		return -EBUSY;
	if (provide(tree, 2) != 0)
		return -ENOMEM;
	*node = carve(tree, n, start, len);
	return 0;
}

void iova_tree_free(struct iova_tree *tree, struct iova_node *node)
{
	struct iova_node *before = iova_tree_find(tree, node->start - 1);
	struct iova_node *after = iova_tree_find(tree, node->start + node->len);

	tree->free_pages += node->len;
	tree->free_runs++;
	node->free = true;
	node->chunk = NULL;
	if (after != NULL && after->free) {
		drop_node(tree, after);
		node->len += after->len;
		tree->free_runs--;
	}
	if (before != NULL && before->free) {
		drop_node(tree, node);
		before->len += node->len;
		node = before;
		tree->free_runs--;
	}
	refresh(tree->root, node);
}

int iova_tree_split(struct iova_tree *tree, struct iova_node *node, uint64_t len,
	struct iova_node **second)
{
	uint64_t rest = node->len - len;

	if (provide(tree, 1) != 0)
		return -ENOMEM;
	node->len = len;
	*second = add_node(tree, node->start + len, rest, false);
	return 0;
}

void iova_tree_join(struct iova_tree *tree, struct iova_node *node, struct iova_node *second)
{
	drop_node(tree, second);
	node->len += second->len;
}
