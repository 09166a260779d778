Feature: Many callers at once

  @RP-001 @RP-002
  Scenario: A rush for memory never takes more than there is
    Given a worker whose budget holds exactly 5 shards of 20 KiB
    When 12 seals of 20 KiB are requested at the same time
    Then 5 of them are sealed and the others are refused as INSUFFICIENT_VRAM
    And 5 shards are live

  @IV-003
  Scenario: One id for several callers
    Given a worker
    When 6 seals under the one id "model" are requested at the same time
    Then 1 of them are sealed and the others are refused as INVALID_INPUT

  @RP-001 @WK-003
  Scenario: Capacity is queried under load
    Given a worker whose budget holds exactly 4 shards of 20 KiB
    When capacity is queried 300 times while shards come and go
    Then total memory is at least used and available together
    And the device memory in use is that of the live shards

  Scenario: Verifications of one shard and of others run side by side
    Given a worker
    And the sealed shards "a, b" of 9,000 bytes each
    When 10 verifications of "a" run at the same time as 10 of "b"
    Then "seal.verified" was emitted 20 times

  Scenario: Work on one shard runs side by side
    Given a worker
    And a sealed shard "a" of 9,000 bytes
    When 5 pieces of work run on "a" at the same time
    Then the work has run 5 times

  @ST-001 @MS-008
  Scenario: A release waits for running work, and that work gives no result
    Given a worker
    And a sealed shard "a" of 9,000 bytes
    When "a" is released while work is running on it
    Then it is refused as NOT_FOUND
    And the work was signalled to end
    And 0 shards are live

  @ST-001
  Scenario: Damage that is found while work is running
    Given a worker
    And the sealed shards "a, b" of 9,000 bytes each
    When while work is running on "a", its byte 77 is damaged and "a" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the work was signalled to end
    And "a" is in quarantine
    And "b" verifies

  @ST-002
  Scenario: Damage elsewhere ends work too where the worker stops
    Given a worker that stops as soon as it finds damage
    And the sealed shards "a, b" of 9,000 bytes each
    And byte 5 of "b" is damaged
    When while work is running on "a", its byte 77 is damaged and "b" is verified
    Then it is refused as STOPPED
    And the work was signalled to end
