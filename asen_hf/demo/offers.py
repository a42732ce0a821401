"""What the tabs offer and the bounds they set; imports nothing, so that the page need not wait for torch."""

MAX_CHARACTERS = 1000  # of a group's text
MAX_UPLOAD_BYTES = 1_000_000
EXAMPLES = {
    "Two teams of five": "S5 wr S2",
    "Board: turns and mirrors": "grid 3x3 dihedral",
    "Ring of eight": "D8",
    "Body: left and right": "(0)(1 4)(2 5)(3 6)(11 14)(12 15)(13 16)",
    "Deck: suits and ranks": "product_action(S4, S13)",
    "Sudoku's cells": "product_action(S3 wr S3, S3 wr S3)",
}
QUESTIONS = {
    "equivariant/intersect": "Two sets: which tokens are in both?",
    "equivariant/symmetric_difference": "Two sets: which tokens are in one only?",
    "equivariant/target_sum": "Two sets: which tokens make 7 with a token of the other?",
    "equivariant/palindrome": "A line: which tokens are in a palindrome of four?",
    "equivariant/monotone_run": "A line: which tokens are in the longest rising or falling run of four or more?",
    "equivariant/constant_run": "A line: which tokens are in the longest run of equal ones, of four or more?",
    "equivariant/cyclic_sum": "A ring: which four neighbours have the largest sum?",
    "equivariant/cyclic_product": "A ring: which four neighbours have the largest product?",
    "equivariant/cyclic_alternating_sum": "A ring: which four neighbours have the largest a − b + c − d?",
    "invariant/intersect": "Two sets: how many tokens do they share?",
    "invariant/palindrome": "A line: is there a palindrome of four?",
    "invariant/longest_palindrome": "A bag: how long a palindrome can its tokens spell?",
    "invariant/cyclic_sum": "A ring: what is the largest sum of four neighbours?",
    "invariant/permutation_sign": "An order: is it an even permutation? (The network cannot tell.)",
}
LENGTHS = (8, 10, 12, 16)
