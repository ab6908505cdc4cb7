"""The proof of moves: every scenario of docs/moves.md on two real Apache Kafka clusters."""
