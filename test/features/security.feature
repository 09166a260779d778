Feature: Nobody but the worker can make a seal, and nothing secret is shown

  @CI-001 @CI-005
  Scenario Outline: A seal of a worker with <difference>
    Given a worker
    And a sealed shard "model" of 5,000 bytes
    And a second worker with <difference>
    When the second worker verifies "model"
    Then it is refused as SEAL_VERIFICATION_FAILED
    And "model" verifies

    Examples:
      | difference    |
      | another token |
      | another name  |

  @ST-001
  Scenario: A genuine seal of a worker with the same keys, whose shard is not here
    Given a worker
    And a sealed shard "model" of 5,000 bytes
    And a second worker with the same token and name
    When the second worker verifies "model"
    Then it is refused as NOT_FOUND
    And "model" verifies

  @CI-006
  Scenario: The token is wiped once the keys are derived
    Given a worker
    Then the buffer that the token was given in is all zeros

  @CI-006 @MS-001 @AU-006 @NA-002
  Scenario: Nothing secret shows, whatever happens
    Given a worker with an audit log
    And the sealed shards "model, other" of 9,000 bytes each
    When "model" is verified
    And "model" is verified by reading its bytes back
    And the handle of "model" is verified with its signature replaced by that of another shard
    Then it is refused as SEAL_VERIFICATION_FAILED
    When weights are sealed under the id "../5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
    Then it is refused as INVALID_INPUT
    When byte 100 of "model" is damaged
    And "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    When the worker is asked for its capacity
    Then no key, token, address or weight byte shows in anything that was given out or told

  @NA-002
  Scenario: A token that a caller passes by mistake is taken out of every sentence
    Given a worker
    When weights are sealed for the model "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
    Then it succeeds
    And no sentence repeats the token

  @ST-001 @ST-002
  Scenario: Forged handles cannot stop a worker
    Given a worker that stops as soon as it finds damage
    And the sealed shards "model, other" of 5,000 bytes each
    When the handle of "model" is verified with its signature replaced by that of another shard
    Then it is refused as SEAL_VERIFICATION_FAILED
    And the refusal is invalid
    When the handle of "model" is verified with "byteLength" changed to "1"
    Then it is refused as SEAL_VERIFICATION_FAILED
    And the worker is "open"
    And no shard is in quarantine
    When work runs on "model"
    Then it succeeds

  @AU-001
  Scenario: Forged handles are recorded
    Given a worker with an audit log
    And a sealed shard "model" of 5,000 bytes
    When the handle of "model" is verified with "shardId" changed to "7"
    Then it is refused as SEAL_VERIFICATION_FAILED
    And the audit log holds these records, in this order:
      | severity | type                     |
      | MEDIUM   | vram.allocated           |
      | CRITICAL | vram.sealed              |
      | CRITICAL | seal.verification_failed |
