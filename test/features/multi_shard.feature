Feature: Several shards in one device
  Shards are independent: damage, release or failure of one does not affect the others.

  Background:
    Given a worker
    And the sealed shards "a, b, c, d" of 30,000 bytes each

  @RP-002
  Scenario: All of them verify, in any order
    Then "a, b, c, d" verifies
    And "d, b, a, c" verifies
    And 4 shards are live
    And the device memory in use is that of the live shards

  @ST-001
  Scenario Outline: Damage in <damaged> leaves the others unharmed
    Given byte <byte> of "<damaged>" is damaged
    When "<damaged>" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And "<damaged>" is in quarantine
    And "<others>" verifies
    And the worker is "open"

    Examples:
      | damaged | byte  | others  |
      | a       | 0     | b, c, d |
      | b       | 4096  | a, c, d |
      | c       | 15000 | a, b, d |
      | d       | 29999 | a, b, c |

  @ST-001
  Scenario: Damage in two of four
    Given byte 1 of "a" is damaged
    And byte 2 of "c" is damaged
    When "a" is verified
    Then it is refused as INTEGRITY_VIOLATION
    When "c" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And "a, c" are in quarantine
    And "b, d" verifies
    When work runs on "b"
    Then it succeeds
    When work runs on "a"
    Then it is refused as INTEGRITY_VIOLATION
    And the work has run 1 time

  @RP-002 @RP-005
  Scenario: Released one by one
    When "b" is released
    Then the memory was overwritten with zeros before it was freed
    And the device memory in use is that of the live shards
    And "a, c, d" verifies
    When "a" is released
    Then it succeeds
    And the device memory in use is that of the live shards
    And "c, d" verifies
    And "vram.deallocated" was emitted 2 times

  @MS-005
  Scenario: Released twice
    When "b" is released
    Then it succeeds
    When the released "b" is released again
    Then nothing was left to release
    And "a, c, d" verifies
    And "vram.deallocated" was emitted 1 time

  @MS-005 @RP-005
  Scenario: Closing releases everything
    When the worker is closed
    Then the worker is "closed"
    And 0 shards are live
    And "vram.deallocated" was emitted 4 times

  @WK-001
  Scenario: A tensor-parallel set that is whole
    When weights are sealed as part 0 of 3 of the model "llama"
    And weights are sealed as part 1 of 3 of the model "llama"
    And weights are sealed as part 2 of 3 of the model "llama"
    And the set "llama" is verified
    Then it succeeds

  @WK-001
  Scenario: A tensor-parallel set with a part missing
    When weights are sealed as part 0 of 3 of the model "llama"
    And weights are sealed as part 2 of 3 of the model "llama"
    And the set "llama" is verified
    Then it is refused as NOT_FOUND
    And the missing parts are "1"

  @WK-001
  Scenario: One part of a set twice
    When weights are sealed as part 1 of 3 of the model "llama"
    Then it succeeds
    When weights are sealed as part 1 of 3 of the model "llama"
    Then it is refused as INVALID_INPUT

  @WK-001 @ST-001
  Scenario: A tensor-parallel set with a damaged part
    When weights are sealed as part 0 of 2 of the model "llama"
    And weights are sealed as part 1 of 2 of the model "llama"
    And byte 17 of "llama-1" is damaged
    And the set "llama" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the refusal says "llama-1"
    And "llama-0" verifies
