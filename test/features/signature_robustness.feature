Feature: Signatures that were tampered with
  A signature has exactly one valid form, and a handle exactly one signature.

  Background:
    Given a worker
    And the sealed shards "model, other" of 5,000 bytes each

  Scenario Outline: A signature that was <tampering>
    When the handle of "model" is verified with its signature <tampering>
    Then it is refused as NOT_SEALED
    And the refusal is invalid
    And "seal.verification_failed" was emitted 1 time
    And "model, other" verifies

    Examples:
      | tampering  |
      | removed    |
      | emptied    |

  @CI-001 @CI-002 @ST-001
  Scenario Outline: A signature that was <tampering>, and is not one any more
    When the handle of "model" is verified with its signature <tampering>
    Then it is refused as SEAL_VERIFICATION_FAILED
    And the refusal is invalid
    And "seal.verification_failed" was emitted 1 time
    And no shard is in quarantine
    And "model, other" verifies

    Examples:
      | tampering                        |
      | replaced by nothing but A        |
      | replaced by that of another shard |
      | shortened by one character       |
      | shortened to one character       |
      | lengthened by one character      |
      | written twice                    |
      | changed in its first character   |
      | changed in its middle            |
      | padded with an equals sign       |
      | written in hexadecimal           |
      | surrounded by blanks             |
      | turned into a number             |
