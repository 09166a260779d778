Feature: Healing damaged blocks
  Only damaged blocks are replaced from the source, and its bytes are checked against the seal before
  anything is written.

  Background:
    Given a worker
    And a sealed shard "model" of 600,000 bytes

  @ST-001 @MS-009
  Scenario: Damage is healed, and the quarantine is lifted
    Given blocks "3, 4, 100, 140" of "model" are damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And "model" is in quarantine
    When "model" is healed from its source
    Then exactly 4 blocks were healed
    And no shard is in quarantine
    And "model" verifies
    When work runs on "model"
    Then it succeeds
    And these events are emitted in this order:
      | event                    |
      | seal.verification_failed |
      | shard.quarantined        |
      | damage.located           |
      | shard.healed             |
      | seal.verified            |
    And a sentence says "4 blocks of "

  Scenario: If nothing is damaged, nothing is written
    When "model" is healed from its source
    Then exactly 0 blocks were healed
    And "model" verifies

  Scenario: The last block, which is not full
    Given the last byte of "model" is damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    When "model" is healed from its source
    Then exactly 1 block was healed
    And "model" verifies

  @MS-009
  Scenario: A source with other bytes heals nothing
    Given byte 9000 of "model" is damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    When "model" is healed from a source with other bytes
    Then it is refused as SOURCE_MISMATCH
    And "model" is in quarantine
    And "heal.failed" was emitted 1 time
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "2"
    When "model" is healed from its source
    Then exactly 1 block was healed

  @MS-009
  Scenario: A source of another length heals nothing
    Given byte 9000 of "model" is damaged
    When "model" is healed from a source that is one byte shorter
    Then it is refused as SOURCE_MISMATCH

  Scenario: A source that can only be streamed cannot heal
    When "model" is healed from a source that can only be streamed
    Then it is refused as INVALID_INPUT
    And the refusal says "cannot heal"

  @ST-001
  Scenario: Damage on purpose is found, named and healed
    When a drill with the seed 7 flips 12 bits of "model"
    Then it succeeds
    And "drill.injected" was emitted 12 times
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks of the drill
    When "model" is healed from its source
    Then it succeeds
    And "model" verifies

  @ST-002
  Scenario: A worker that has stopped still heals, and stays stopped
    Given a worker that stops as soon as it finds damage
    And a sealed shard "other" of 9,000 bytes
    And byte 5000 of "other" is damaged
    When "other" is verified
    Then it is refused as INTEGRITY_VIOLATION
    When "other" is healed from its source
    Then exactly 1 block was healed
    And "other" verifies
    And the worker is "stopped"
